package console

import (
	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

// Words of the screens, in both languages.
var (
	wordNone       = codes.Text{ZH: "开机以来还没有诊断。按 4 输入应答码进行诊断。", EN: "No diagnosis since the start. Press 4 to enter a response code."}
	wordCode       = codes.Text{ZH: "应答码", EN: "Code"}
	wordAsked      = codes.Text{ZH: "这是人工询问，没有交易失败", EN: "a person asked; no sale failed"}
	wordUndecided  = codes.Text{ZH: "证据不足，还无法判断", EN: "cannot tell yet, the evidence does not decide"}
	wordLeft       = codes.Text{ZH: "可能是", EN: "Maybe"}
	wordRuledOut   = codes.Text{ZH: "已排除", EN: "Not"}
	wordWell       = codes.Text{ZH: "正常", EN: "Found ok"}
	wordGuideTest  = codes.Text{ZH: "按 G 区分：", EN: "press G to tell: "}
	wordCall       = codes.Text{ZH: "电话", EN: "Call"}
	wordWho        = codes.Text{ZH: "由谁处理", EN: "Who acts"}
	wordCallThem   = codes.Text{ZH: "，电话 ", EN: ", call "}
	wordElseCall   = codes.Text{ZH: "；不行就找%s", EN: "; if that fails %s"}
	wordNoNumber   = codes.Text{ZH: "（本机没有存号码）", EN: " (no number is stored here)"}
	wordFitted     = codes.Text{ZH: "未装配：", EN: "Not fitted: "}
	wordMove       = codes.Text{ZH: "上下键选择，回车看详情", EN: "arrows choose, Enter shows details"}
	wordHistory    = codes.Text{ZH: "%s，新的在前；/ 按应答码或日期查找", EN: "%s, newest first; / finds a code or a day"}
	wordOnlyCode   = codes.Text{ZH: "%s：%s；Esc 看全部", EN: "%s: %s; Esc shows all"}
	wordDiagnoses  = codes.Text{ZH: "共 %d 条", EN: "%d diagnoses"}
	wordNoPast     = codes.Text{ZH: "没有诊断记录。", EN: "No diagnosis is kept."}
	wordNoDetail   = codes.Text{ZH: "这条记录只留下一行，没有详情", EN: "only this line was kept of it"}
	wordFind       = codes.Text{ZH: "要找的应答码或日期（如 11-21），按回车（空行取消）: ", EN: "Code or day (11-21) to find, then Enter (empty: cancel): "}
	wordAgain      = codes.Text{ZH: "A：用现在的知识再判断一次", EN: "A judges it again with what is known today"}
	wordAgainSame  = codes.Text{ZH: "再判断一次，结论一样；当时：%s", EN: "judged again, it is the same; then: %s"}
	wordAgainOther = codes.Text{ZH: "再判断一次，结论不同；当时：%s", EN: "judged again, it is another; then: %s"}
	wordNoKey      = codes.Text{ZH: "%s键在这里没有作用，可用的键见下行", EN: "%s does nothing here; see the line below"}
	wordEnterKey   = codes.Text{ZH: "回车", EN: "Enter"}
	wordOnlyPage   = codes.Text{ZH: "只有这一页", EN: "this is the only page"}
	wordFirstPage  = codes.Text{ZH: "已是第一页", EN: "this is the first page"}
	wordLastPage   = codes.Text{ZH: "已是最后一页", EN: "this is the last page"}
	wordFirstLine  = codes.Text{ZH: "已是第一行", EN: "this is the first line"}
	wordLastLine   = codes.Text{ZH: "已是最后一行", EN: "this is the last line"}
	wordTiny       = codes.Text{ZH: "窗口太小：至少40x8", EN: "enlarge to 40x8"}
	wordEntryKeys  = codes.Text{ZH: "回车=确定 Esc=取消 Ctrl-U=清空", EN: "Enter=go Esc=cancel Ctrl-U=clear"}
	wordOther      = codes.Text{ZH: "这个", EN: "this key"}
	wordWaitState  = codes.Text{ZH: "正在读取终端状态...", EN: "reading the terminal's state..."}
	wordFirstKeys  = codes.Text{ZH: "G引导 D详情 2设备 8路径 7历史 6交接 ?更多 L English Q退出", EN: "Guide Details 2=devices 8=path 7=history 6=hand-off ?=more L=Chinese Quit"}
	wordPIN        = codes.Text{ZH: "输入控制台密码后按回车（空行取消）: ", EN: "Console PIN, then Enter (empty: cancel): "}
	wordPINWrong   = codes.Text{ZH: "不对，没有解锁", EN: "wrong; the console stays locked"}
	wordOrSign     = codes.Text{ZH: "或在电脑上运行下面两行，把输出全部粘贴到这里：", EN: "or run these two lines on your computer, and paste all they print:"}
	wordSign       = codes.Text{ZH: "在电脑上运行下面两行，把输出全部粘贴到这里（Esc 取消）：", EN: "Run these two lines on your computer, and paste all they print (Esc: cancel):"}
	wordSigLines   = codes.Text{ZH: "签名，已收到 %d 行", EN: "signature, %d lines so far"}
	wordKeyOnly    = codes.Text{ZH: "这里不用密码，只认签名", EN: "no PIN is taken here, a signature is"}
	wordPINWait    = codes.Text{ZH: "错误次数太多，%d 分钟后再试", EN: "too many wrong ones; try again in %d minutes"}
	wordHidden     = codes.Text{ZH: "控制台已锁定。按回车解锁。", EN: "The console is locked. Enter unlocks it."}
	wordLocked     = codes.Text{ZH: "已锁定：按回车解锁   L English R刷新 Q退出", EN: "locked: Enter unlocks   L=Chinese Refresh Quit"}
	wordSeen       = codes.Text{ZH: "（终端自己看到的）", EN: " (the terminal saw it)"}
	wordSeenNow    = codes.Text{ZH: "看到了：%s %s", EN: "seen: %s %s"}
	wordWatch      = codes.Text{ZH: "处理好以后做一笔交易：结果会显示在这里。", EN: "When it is put right make a sale: what comes of it is shown here."}
	wordWatched    = codes.Text{ZH: "留意着", EN: "Watched"}
	wordUntil      = codes.Text{ZH: "：恢复时这里会说", EN: ": it is said here when this is well again"}
	wordAnd        = codes.Text{ZH: "、", EN: ", "}
	wordTrySale    = codes.Text{ZH: "现在做一笔交易：结果会显示在这里。", EN: "Now make a sale: what comes of it is shown here."}
	wordSince      = codes.Text{ZH: "之后", EN: "Since"}
	wordMoney      = codes.Text{ZH: "款项", EN: "Money"}
	wordCause      = codes.Text{ZH: "原因", EN: "Cause"}
	wordElse       = codes.Text{ZH: "其他可能", EN: "Or"}
	wordFor        = codes.Text{ZH: "依据", EN: "Because"}
	wordAgainst    = codes.Text{ZH: "反证", EN: "Against"}
	wordAct        = codes.Text{ZH: "处理", EN: "To do"}
	wordNext       = codes.Text{ZH: "下一步", EN: "Next"}
	wordHandoff    = codes.Text{ZH: "交接码", EN: "Hand-off"}
	wordAbstain    = codes.Text{ZH: "证据不足，不下结论，无法区分：", EN: "Not enough evidence to decide. Cannot tell apart:"}
	wordPartial    = codes.Text{ZH: "初步结论，检查还在进行", EN: "first finding, checks are running"}
	wordRepeats    = codes.Text{ZH: "又出现 %d 次", EN: "came %d more times"}
	wordUnknown    = codes.Text{ZH: "码表中没有这个应答码", EN: "no table has this code"}
	wordNoneOf     = codes.Text{ZH: "哪个码表都没有 %s。", EN: "No table has %s."}
	wordEnter      = codes.Text{ZH: "输入应答码后按回车（空行取消）: ", EN: "Response code, then Enter (empty: cancel): "}
	wordLook       = codes.Text{ZH: "要查的应答码，按回车（空行取消）: ", EN: "Code to look up, then Enter (empty: cancel): "}
	wordBusy       = codes.Text{ZH: "正在进行，请稍候...", EN: "working, please wait..."}
	wordStill      = codes.Text{ZH: "上一项还没有完成", EN: "the last request is still running"}
	wordInSale     = codes.Text{ZH: "[交易中]", EN: "[in sale]"}
	wordOnline     = codes.Text{ZH: "管理平台已连接", EN: "fleet connected"}
	wordOffline    = codes.Text{ZH: "管理平台未连接", EN: "fleet not connected"}
	wordWaiting    = codes.Text{ZH: "待发 %d", EN: "%d to send"}
	wordNoClock    = codes.Text{ZH: "时钟不可信", EN: "clock not trusted"}
	wordPage       = codes.Text{ZH: "第 %d/%d 页，N 下一页 P 上一页", EN: "page %d/%d, N next P previous"}
	wordChecked    = codes.Text{ZH: "检查结果：", EN: "Results:"}
	wordChoose     = codes.Text{ZH: "检查什么？按键选择：", EN: "What to check? Press a key:"}
	wordNoFacts    = codes.Text{ZH: "还没有检查结果。按 3 进行检查。", EN: "Nothing was checked yet. Press 3."}
	wordReadOut    = codes.Text{ZH: "请在电话中逐字读给对方：", EN: "Read this out on the phone, sign by sign:"}
	wordDecode     = codes.Text{ZH: "对方用 posdx decode 可离线读出诊断。", EN: "The other side reads it offline with: posdx decode"}
	wordGuided     = codes.Text{ZH: "还没有诊断可以引导。按 4 输入应答码。", EN: "There is no diagnosis to be guided through. Press 4 to enter a response code."}
	wordOld        = codes.Text{ZH: "这次诊断已过去 %d 分钟：情况可能变了，可按 4 重新诊断", EN: "diagnosed %d minutes ago, things may have changed: 4 diagnoses anew"}
	wordSoFar      = codes.Text{ZH: "目前", EN: "So far"}
	wordAsk        = codes.Text{ZH: "问题", EN: "Question"}
	wordRun        = codes.Text{ZH: "检查", EN: "Check"}
	wordCost       = codes.Text{ZH: "（约 %g 秒）", EN: " (about %g s)"}
	wordCheckCost  = codes.Text{ZH: "（%s，约 %g 秒）", EN: " (%s, about %g s)"}
	wordTouchCost  = codes.Text{ZH: "（%s，约 %g 秒，要用到设备）", EN: " (%s, about %g s, uses the device)"}
	wordRunNow     = codes.Text{ZH: "现在检查", EN: "check now"}
	wordThen       = codes.Text{ZH: "则 ", EN: "then "}
	wordThenOr     = codes.Text{ZH: "；", EN: "; "}
	wordSkip       = codes.Text{ZH: "不知道，跳过", EN: "not known, next"}
	wordGiven      = codes.Text{ZH: "已知", EN: "Known"}
	wordElsewhere  = codes.Text{ZH: "还可以", EN: "Also"}
	wordConfirmed  = codes.Text{ZH: "原因已确认。", EN: "The cause is confirmed."}
	wordNoFault    = codes.Text{ZH: "没有故障，不用再问。", EN: "Nothing is wrong, there is nothing to ask."}
	wordOver       = codes.Text{ZH: "在这里没有更多可问可查的了，目前的结论：", EN: "Nothing is left to ask or to check from here. As it stands:"}
	wordBegin      = codes.Text{ZH: "这是第一个问题", EN: "this is the first question"}
	wordOneOf      = codes.Text{ZH: "输入编号或名称（如 net.tcp、modem、net.）后按回车（空行取消）:", EN: "Number or name (net.tcp, modem, net.), then Enter (empty: cancel):"}
	wordNarrow     = codes.Text{ZH: "这个终端程序可能缺字或错位；picocom、PuTTY 显示正常", EN: "Chinese may come out wrong here"}
	wordNoCard     = codes.Text{ZH: "像是卡号，已丢弃：只输入应答码", EN: "looks like a card number and was thrown away: type the code only"}
	wordNoCheck    = codes.Text{ZH: "没有这项检查：%s", EN: "no such check: %s"}
	wordList       = codes.Text{ZH: "从列表中选一项", EN: "one of the list"}
	wordGuideKeys  = codes.Text{ZH: "数字=回答 0=不知道 B上一步 N P翻页 L English Q离开引导", EN: "digit=answer 0=not known Back N P=page L=Chinese Q=leave the guide"}
	wordKeys       = codes.Text{ZH: "1结论 2设备 3检查 4诊断 5查码 6交接 7历史 8路径 G引导 D详情 ?帮助 Q退出", EN: "1verdict 2devices 3check 4code 5look-up 6hand-off 7history 8path Guide ?help"}
	wordTry        = codes.Text{ZH: "试读卡器：用任意一张不用的卡（会员卡、测试卡都行）。不读取也不保存卡里的任何内容。", EN: "Try the reader with any card that is not needed, a loyalty or test card. Nothing on it is read or kept."}
	wordTryNone    = codes.Text{ZH: "没有配置读卡器。", EN: "No reader is configured."}
	wordTryIn      = codes.Text{ZH: "插入卡片", EN: "Put the card in"}
	wordTryOut     = codes.Text{ZH: "拔出卡片", EN: "Take it out"}
	wordTrySeen    = codes.Text{ZH: "看到了", EN: "seen"}
	wordTryWait    = codes.Text{ZH: "等待中", EN: "waiting"}
	wordTryCannot  = codes.Text{ZH: "现在不能直接问卡槽（%s）：在收款应用里查一次余额或刷一次卡，读得怎样显示在这里。", EN: "The slot cannot be asked now (%s): have the payment application read a card, a balance enquiry for instance; how that went is shown here."}
	wordTryReads   = codes.Text{ZH: "从打开本页起：读成功 %g 次，失败 %g 次", EN: "since this page was opened: %g read, %g failed"}
	wordTryWell    = codes.Text{ZH: "卡槽能发现卡片。", EN: "The slot notices cards."}
	wordTryRead    = codes.Text{ZH: "读卡器读到了卡。", EN: "The reader reads cards."}
	wordTryFailed  = codes.Text{ZH: "有一次没读出来：换一张卡再试，能分清是卡还是读卡器。", EN: "One was not read: another card tells whether it is the card or the reader."}
	wordTryMute    = codes.Text{ZH: "卡在槽里但没有应答：芯片朝向不对、卡坏了，或触点脏了。换一张卡再试。", EN: "A card is in and does not answer: it is the wrong way round, broken, or the contacts are dirty. Try another."}
	wordSet        = codes.Text{ZH: "范围", EN: "Sure"}
	wordSetAbove   = codes.Text{ZH: "95%% 的把握在以上 %d 个之中", EN: "95 %% sure that it is in the %d above"}
	wordSetBeside  = codes.Text{ZH: "，或：", EN: ", or: "}
	wordAlso       = codes.Text{ZH: "另外", EN: "Besides"}
	wordSending    = codes.Text{ZH: "用 ZMODEM 发送 %s（%d 字节）。minicom、SecureCRT、Xshell 会自动接收；picocom 按 Ctrl-A Ctrl-R 后用 rz。", EN: "Sending %s (%d bytes) by ZMODEM. minicom, SecureCRT and Tera Term receive by themselves; picocom: Ctrl-A Ctrl-R, then rz."}
	wordSent       = codes.Text{ZH: "已发送 %s：在别处用 posdx replay 打开", EN: "%s was sent; elsewhere posdx replay opens it"}
	wordUnsent     = codes.Text{ZH: "没有发成：%s", EN: "not sent: %s"}
	wordNoReceiver = codes.Text{ZH: "对方没有开始接收", EN: "nobody began to receive"}
	wordNotTaken   = codes.Text{ZH: "对方取消，或已有同名文件", EN: "the other side cancelled, or has that file already"}
	wordNoBundle   = codes.Text{ZH: "这里不能打包", EN: "there is no bundle to be had here"}
	wordStops      = codes.Text{ZH: "断在：%s（* 那一行）", EN: "It stops at: %s (the line with *)"}
	wordPathUnseen = codes.Text{ZH: "这条路还没有检查过。", EN: "Nothing is known of the way yet."}
	wordPathWhole  = codes.Text{ZH: "一直通到主机应答。", EN: "It is good all the way to the host's answer."}
	wordPathAsFar  = codes.Text{ZH: "通到：%s；再往后现在不知道", EN: "It is good as far as: %s; beyond that nothing is known now"}
	wordPassed     = codes.Text{ZH: "虽然通，但有异常：%s", EN: "It passes, but this is bad: %s"}
	wordCheckPath  = codes.Text{ZH: "回车：现在检查这条路", EN: "Enter checks the way now"}
	wordColon      = codes.Text{ZH: "：", EN: ": "}
	wordComma      = codes.Text{ZH: "，", EN: ", "}
	wordSecondsAgo = codes.Text{ZH: "%d 秒前", EN: "%d s ago"}
	wordMinutesAgo = codes.Text{ZH: "%d 分钟前", EN: "%d min ago"}
	wordHoursAgo   = codes.Text{ZH: "%d 小时前", EN: "%d h ago"}
	wordPress      = codes.Text{ZH: "按回车开始", EN: "press Enter"}
	wordBye        = codes.Text{ZH: "再见", EN: "bye"}
)

// wordClosed stands in place of wordsGone where it is the user who may not ask.
var wordClosed = codes.Text{
	ZH: "这个用户无权和 posdx 服务通信，所以看不到这台终端的诊断，也不知道服务是否在运行。请用 root 运行，或加入套接字所属的组。",
	EN: "This user may not speak to the posdx service, so nothing can be said of this terminal, nor whether the service runs. Run this as root, or join the group of its socket.",
}

// wordsGone say what it means that the daemon does not answer, and what to do.
var wordsGone = [...]codes.Text{
	{ZH: "posdx 服务没有应答，所以看不到这台终端的诊断。收款不受影响。", EN: "The posdx service does not answer, so nothing can be said of this terminal. Sales go on without it."},
	{ZH: "1. 运行 posdx doctor，看哪里不对。", EN: "1. Run posdx doctor: it says what is wrong."},
	{ZH: "2. 启动服务：systemctl start posdx（没有 systemd 的终端重启一次）。", EN: "2. Start the service: systemctl start posdx (without systemd, restart the terminal)."},
	{ZH: "3. 仍不行，找服务商，报出下面这一行。按 R 再试。", EN: "3. If that fails, call the service provider and read out the line below. R tries again."},
}

var wordOneDiagnosis = codes.Text{ZH: "共 1 条", EN: "1 diagnosis"}

var help = [...]codes.Text{
	{ZH: "1  最近一次诊断：款项、原因、依据、谁来处理、下一步", EN: "1  the last diagnosis: money, cause, proofs, who acts, next test"},
	{ZH: "2  各设备的状态", EN: "2  the state of every device"},
	{ZH: "3  立即检查：整组、全部，或列表中的一项", EN: "3  check now: a group, everything, or one of the list"},
	{ZH: "4  输入应答码，进行诊断", EN: "4  enter a response code and have it diagnosed"},
	{ZH: "5  查应答码的含义", EN: "5  look a code up"},
	{ZH: "6  交接码，用于电话报修", EN: "6  the hand-off code, for the phone"},
	{ZH: "7  历史：以前的诊断，可按应答码或日期查找", EN: "7  history: earlier diagnoses, to be searched by code or day"},
	{ZH: "8  到主机的路径，一段一段：好、坏、量到多少、断在哪里", EN: "8  the way to the host, hop by hop: good, bad, what was measured, where it stops"},
	{ZH: "D  详情：全部依据、反证和步骤", EN: "D  details: every proof, what speaks against it, all steps"},
	{ZH: "G  引导：一问一答，逐步找到原因", EN: "G  guide: question by question to the cause"},
	{ZH: "T  用任意一张卡试读卡器，不读卡里的内容", EN: "T  try the reader with any card; nothing on it is read"},
	{ZH: "Z  打包诊断资料，经同一条线用 ZMODEM 发到你的电脑", EN: "Z  pack what support needs and send it over this line by ZMODEM"},
	{ZH: "E  计算过程：每条依据的分量", EN: "E  the calculation: what each piece of evidence weighs"},
	{ZH: "R  刷新    N P 或翻页键  下一页 上一页    L  换语言    Esc  返回", EN: "R  refresh    N P or page keys  next, previous page    L  language    Esc  back"},
	{ZH: "Ctrl-L  重画屏幕并重新识别终端（串口线刚插上时用）", EN: "Ctrl-L  paint again and look again what terminal this is"},
	{ZH: "Q  退出", EN: "Q  leave"},
	{ZH: "正在使用的设备和进行中的交易不会被打扰。", EN: "Devices in use and running sales are never touched."},
}

func (m *model) helpLines() (lines []string) {
	for _, t := range help {
		lines = append(lines, text.Wrap(t.In(m.lang), m.cols, 3)...)
	}
	return lines
}

// StatusWord returns the word for a check's outcome.
func StatusWord(s report.Status, lang string) string { return word("status", string(s), lang) }

// bracketed is what stands in brackets behind something.
func bracketed(s, lang string) string {
	return codes.Text{ZH: "（" + s + "）", EN: " (" + s + ")"}.In(lang)
}

// word returns what an id is called; one that is not known is shown as far as it can be.
func word(kind, id, lang string) string { return text.Clean(codes.Builtin().Word(kind, id).In(lang)) }
