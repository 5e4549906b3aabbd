package codes

import (
	"fmt"
	"strings"
)

// A Problem is one mistake in a data file. Line 0 means the whole file.
type Problem struct {
	File string
	Line int
	What Text
}

// problem notes a mistake; format is one of problemTexts.
func (p *parser) problem(file string, line int, format string, args ...any) {
	if len(p.problems) < maxProblems {
		what := Text{ZH: fmt.Sprintf(chineseOf(format), args...), EN: fmt.Sprintf(format, args...)}
		p.problems = append(p.problems, Problem{file, line, what})
	}
}

// chineseOf is the Chinese of a problem's text, which says its values by place where their order is another. Rows of
// blocks have lines where those of tables have columns.
func chineseOf(format string) string {
	for _, t := range problemTexts {
		if t.EN == format {
			return t.ZH
		}
		if t.EN == "column "+format {
			return strings.TrimPrefix(t.ZH, "列 ")
		}
	}
	return format
}

// problemsError is knowledge that must not be used. It says the first problem.
type problemsError []Problem

func (e problemsError) Error() string { return e.In("en") }

// In is the error in a language, "zh" or "en".
func (e problemsError) In(lang string) string {
	format := Text{ZH: "%s:%d：%s（共 %d 处）", EN: "%s:%d: %s (%d problems)"}.In(lang)
	return fmt.Sprintf(format, e[0].File, e[0].Line, e[0].What.In(lang), len(e))
}

// problemTexts are what can be wrong with data files. A test walks the places that say them.
var problemTexts = [...]Text{
	{"读不了：%v", "cannot be read: %v"},
	{"超过 %d 个文件", "more than %d files"},
	{"超过 %d 字节", "larger than %d bytes"},
	{"全部文件超过 %d 字节", "more than %d bytes in all"},
	{"缺少这个文件", "the file is missing"},
	{"不是 UTF-8", "not UTF-8"},
	{"不认识这个数据文件", "no such data file is known"},
	{"这是第一种格式的知识，权重写成数字；本程序读第三种：见 findings.txt 和 causes.txt", "this is knowledge of the first form, with weights in numbers; this program reads the third: see findings.txt and causes.txt"},
	{"这是第二种格式的知识，一个发现写在三张表里；本程序读第三种：见 findings.txt 和 causes.txt", "this is knowledge of the second form, with a finding in three tables; this program reads the third: see findings.txt and causes.txt"},
	{"版本 %.64q：应为 1 到 %d 个字符", "version %.64q: want 1 to %d characters"},
	{"版本 %q：不能用 %q", "version %q: %q is not allowed"},

	// Rows and lines.
	{"超过 %d 行", "more than %d rows"},
	{"%q 里有控制字符", "control character in %q"},
	{"%q 在第一个 %s 之前", "%q stands before the first %s"},
	{"没有以 %s 开头的行", "no line begins with %s"},
	{"%q：%s 里的行要以这些词之一开头：%s", "%q: a line of a %s begins with one of %s"},
	{"%s 在第 %d 行已经有了", "%s stands in line %d already"},
	{"%s 在这一行里出现两次", "%s stands in the line twice"},
	{"%q 不止一个词", "%q is more than one word"},
	{"%s 后面什么都没有", "nothing stands behind %s"},
	{"各列是 %q，应为 %q", "columns are %q, want %q"},
	{"有 %d 格，应为 %d 格", "%d cells, want %d"},
	{"没有写列名的行", "no line that names the columns"},
	{"列 %s：%q；空格子写 -，格子前后不能有空格", "column %s: %q; an empty cell is -, and no cell starts or ends with a blank"},
	{"列 %s：%q 里有控制字符", "column %s: control character in %q"},
	{"列 %s 是空的", "column %s is empty"},
	{"%s %q 在第 %d 行已经有了", "%s %q stands in line %d already"},
	{"列 %s：%q 不在可用的值里，可用：%s", "column %s: %q is none of %s"},
	{"列 %s：%q；词之间用一个逗号隔开，不加空格", "column %s: %q; words are held apart by one comma and no blank"},
	{"列 %s：%q 出现两次", "column %s: %q twice"},
	{"列 %[1]s：没有 %[3]q", "column %s: no %s %q"},
	{"列 %s：%q 里没有中文", "column %s: no Chinese in %q"},
	{"列 %s：%q 里有中文", "column %s: Chinese in %q"},
	{"%q 不在可用的词里，可用：%s", "%q is none of %s"},
	{"%q 出现两次", "%q is there twice"},
	{"列 %s：%q 不是 %g 到 %g 的数", "column %s: %q is no number from %g to %g"},

	// Codes, profiles, words, networks.
	{"缺少码表 %q 的文件", "the file of scheme %q is missing"},
	{"列 rows：%s 有 %d 行；是丢了一行，还是这个数要改？", "column rows: %s has %d; was one lost, or is this number to follow?"},
	{"schemes.tsv 里没有码表 %q", "no scheme %q in schemes.tsv"},
	{"应答码 %q 超过 %d 个字符", "code %q is longer than %d characters"},
	{"应答码 %q 没有来源", "code %q has no source"},
	{"列 note：%q 里有中文", "column note: Chinese in %q"},
	{"应答码 %q 在第 %d 行已经有了", "code %q stands in line %d already"},
	{"应答码 %q 在第 %d 行也有，所以有争议", "code %q stands in line %d too, so it is disputed"},
	{"列 base：没有码表 %q", "column base: no scheme %q"},
	{"列 source：没有来源 %q", "column source: no source %q"},
	{"没有收单配置 %q", "no profile %q"},
	{"模式 %q：应答码要有一段连续的 x", "pattern %q: the code needs one run of x"},
	{"profiles.tsv 里没有这个名字的收单配置", "no profile of this name in profiles.tsv"},
	{"列 off：%q 不是 2022-02-22 这样的日子，也不是 %s", "column off: %q is no day as 2022-02-22, and not %s"},
	{"一行要有网络和制式", "a row needs a network and a technology"},
	{"列 networks：%q 不是 310410 这样的 MCC 加 MNC", "column networks: %q is no MCC and MNC, such as 310410"},
	{"%[2]s 的 %[1]s 在第 %[3]d 行已经有了", "%s of %s stands in line %d already"},
	{"词的末尾不要标点：%q，%q", "a word ends without a mark: %q, %q"},
	{"%s %q 出现两次", "%s %q stands twice"},
	{"%s %q 没有词", "%s %q has no word"},

	// Checks, facts, findings.
	{"列 type：%s 在别处是 %s；同名的事实只有一种值", "column type: %s is a %s elsewhere; a fact of one name holds one kind of value"},
	{"列 low：只有数才有界限", "column low: only numbers have bounds"},
	{"列 words：用词表示的事实要写出它的词", "column words: a word fact needs its words"},
	{"列 why：请写为什么没有发现用到 %s", "column why: say why nothing judges %s"},
	{"words.tsv 里没有事实 %q", "words.tsv has no fact %q"},
	{"%q：说明什么表现出一个发现，要以 of、when 或 by 开头", "%q: what shows a finding begins with of, when or by"},
	{"没有检查项 %q", "no check %q"},
	{"请写 when：条件，或 always", "say when: conditions, or always"},
	{"发现 %q 在一行里是好消息，在另一行里不是", "finding %q is good news in one line and not in another"},
	{"没有写什么表现出发现 %q", "nothing says what shows the finding %q"},
	{"%s 级的要写依据，来源放在方括号里：-- 依据 [来源]", "what is %s says on what it rests, with its source in brackets: -- why [source]"},
	{"%s %s：对哪些原因？", "%s %s: which causes?"},
	{"原因 %q 在第 %d 行已经有了", "cause %q stands in line %d already"},
	{"没有 by 和事实时，强度写 0 以上、1 以内的数，不写界限", "without by and a fact there is a strength above 0 and up to 1, and no limits"},
	{"有 by 和事实时，强度由界限得出", "with by and a fact the limits make the strength"},
	{"by：%s 不测量数 %q", "by: %s measures no number %q"},
	{"bad 和 full 要在 poor 的同一侧", "bad and full lie on the same side of poor"},
	{"强度在两个不同的值之间上升", "a strength rises between two different values"},
	{"列 when：%q：%s 没有词 %q", "column when: %q: %s has no word %q"},
	{"列 when：%q 没有用到 %s 的数", "column when: %q compares no number of %s"},
	{"列 when：%q：%s 没有这个是非事实", "column when: %q: %s has no such yes-or-no fact"},

	// What the inference rests on, causes and coverage.
	{"词 %q，除非 %q：只能用小写字母和数字", "word %q, unless %q: small letters and digits only"},
	{"主题 %q 不在 priors.tsv 里", "topic %q is not in priors.tsv"},
	{"词 %q：只能用小写字母和数字", "word %q: small letters and digits only"},
	{"列 brings：%q 不用标记，%s 引起的别的现象已经说明", "column brings: %q needs no mark, by what else %s brings about"},
	{"列 name：没有设置 %q，或写了两次", "column name: no setting %q, or twice"},
	{"没有设置 %q", "no setting %q"},
	{"hint、moderate、strong、decisive 要从 0 以上依次上升", "hint, moderate, strong and decisive must rise from above 0"},
	{"often、sometimes、seldom、rare、remote 要从 0 依次下降", "often, sometimes, seldom, rare and remote must fall from 0"},
	{"列 stages：%q 不在可用的值里，可用：%s", "column stages: %q is none of %s"},
	{"列 %s：%q 前面已经写过", "column %s: %q is named before"},
	{"没有主题 %q，推断要用它", "no topic %q, which the engine needs"},
	{"列 %s：没有原因 %q", "column %s: no cause %q"},
	{"列 topic：%q 没有先验", "column topic: no prior for %q"},
	{"列 finding：没有发现 %q，或写了两次", "column finding: no finding %q, or twice"},
	{"列 brings：没有故障 %q", "column brings: no fault %q"},
	{"因果绕成了圈：%s", "cause and symptom in a circle: %s"},
	{"列 outcomes：%q：应为发现和大于 0 的份额", "column outcomes: %q: want a sign and its share above 0"},
	{"列 outcomes：一次检查至少有两种结果", "column outcomes: a test needs at least two"},
	{"列 cause：没有原因 %q", "column cause: no cause %q"},
	{"原因 %q 没有适用于 %s 的步骤", "cause %q has no step that goes with %s"},
	{"缺少原因 %q", "cause %q is missing"},
	{"编号 %d 已经是 %q 的；下一个空号是 %d", "number %d is that of %q already; the next free one is %d"},
	{"行 %q 没有引到原因和检查，也没有写为什么观察不到", "row %q leads to no cause and check, and no reason says why it is not observable"},
	{"列 causes：没有原因 %q", "column causes: no cause %q"},
	{"原因 %q 的一个步骤提到建议 %q", "a step of cause %q offers remedy %q"},
}
