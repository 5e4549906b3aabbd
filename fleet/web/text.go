package web

import (
	"net/http"
	"strings"

	"golang.org/x/text/language"

	"posdx/codes"
)

// texts are the words of the pages. Words of the documents stand under "group.word".
var texts = map[string]codes.Text{
	"title":          {ZH: "POS 终端管理平台", EN: "POS fleet diagnosis"},
	"skip":           {ZH: "跳到正文", EN: "Skip to content"},
	"language":       {ZH: "English", EN: "中文"},
	"live":           {ZH: "实时更新", EN: "live"},
	"live.off":       {ZH: "更新中断，正在重连", EN: "not live, reconnecting"},
	"times":          {ZH: "时间为本服务器接收时刻，时区", EN: "Times are when this server received the report, in"},
	"diagnoses":      {ZH: "诊断", EN: "Diagnoses"},
	"diagnosis":      {ZH: "诊断", EN: "Diagnosis"},
	"terminals":      {ZH: "终端", EN: "Terminals"},
	"terminal":       {ZH: "终端", EN: "Terminal"},
	"incidents":      {ZH: "群体事件", EN: "Incidents"},
	"rejected":       {ZH: "拒收", EN: "Rejected"},
	"all.terminals":  {ZH: "全部终端", EN: "All terminals"},
	"summary.online": {ZH: "在线", EN: "online"},
	"summary.day":    {ZH: "24 小时诊断", EN: "diagnoses in 24 h"},
	"summary.gaps":   {ZH: "有缺号的终端", EN: "terminals with gaps"},
	"summary.reject": {ZH: "24 小时拒收", EN: "rejected in 24 h"},
	"filter":         {ZH: "筛选", EN: "Filter"},
	"filter.text":    {ZH: "文字", EN: "Text"},
	"filter.apply":   {ZH: "筛选", EN: "Apply"},
	"filter.clear":   {ZH: "清除", EN: "Clear"},
	"any":            {ZH: "全部", EN: "any"},
	"older":          {ZH: "更早", EN: "Older"},
	"newest":         {ZH: "回到最新", EN: "Newest"},
	"more":           {ZH: "下一页", EN: "Next page"},
	"none":           {ZH: "没有记录。", EN: "Nothing here."},
	"first.use":      {ZH: "还没有终端报到。终端的 posdx 配置中 broker 指向本机后，诊断会立即出现在这里。", EN: "No terminal has reported yet. Point a terminal's posdx at this broker and its diagnoses appear here at once."},

	"when":      {ZH: "时间", EN: "When"},
	"code":      {ZH: "应答码", EN: "Code"},
	"cause":     {ZH: "最可能的原因", EN: "Most likely cause"},
	"money":     {ZH: "款项", EN: "Money"},
	"act":       {ZH: "处理方", EN: "Who acts"},
	"visit":     {ZH: "需要上门", EN: "visit needed"},
	"no.visit":  {ZH: "不用上门", EN: "no visit"},
	"segment":   {ZH: "环节", EN: "Segment"},
	"late":      {ZH: "补传", EN: "delivered late"},
	"clock":     {ZH: "终端时钟不可信", EN: "terminal's clock not trusted"},
	"open":      {ZH: "诊断进行中", EN: "still examining"},
	"abstained": {ZH: "证据不足", EN: "evidence does not decide"},
	"repeats":   {ZH: "重复次数", EN: "Repeats"},

	"what":            {ZH: "发生了什么", EN: "What happened"},
	"meaning":         {ZH: "含义", EN: "Meaning"},
	"unknown.code":    {ZH: "码表中没有此码", EN: "in no code table"},
	"disputed":        {ZH: "各来源说法不一", EN: "sources disagree"},
	"sources":         {ZH: "来源数", EN: "Sources"},
	"sent.by":         {ZH: "由谁发出", EN: "Sent by"},
	"origin":          {ZH: "由谁写出", EN: "Written by"},
	"channel":         {ZH: "观察于", EN: "Seen in"},
	"event.time":      {ZH: "终端时间", EN: "Terminal's time"},
	"received":        {ZH: "接收时间", EN: "Received"},
	"uptime":          {ZH: "开机时长", EN: "Up for"},
	"txn":             {ZH: "交易", EN: "Transaction"},
	"causes":          {ZH: "原因", EN: "Causes"},
	"unexplained":     {ZH: "未能解释", EN: "Unexplained"},
	"for":             {ZH: "依据", EN: "For"},
	"against":         {ZH: "反证", EN: "Against"},
	"step":            {ZH: "怎么做", EN: "What to do"},
	"cannot.separate": {ZH: "无法区分", EN: "Cannot be told apart"},
	"masked":          {ZH: "被更深层故障掩盖", EN: "Masked by a deeper fault"},
	"next.test":       {ZH: "下一步最有用的检查", EN: "Most useful next test"},
	"evidence":        {ZH: "证据", EN: "Evidence"},
	"check":           {ZH: "检查", EN: "Check"},
	"subject":         {ZH: "对象", EN: "Subject"},
	"status":          {ZH: "结果", EN: "Result"},
	"found":           {ZH: "测得", EN: "Found"},
	"age":             {ZH: "当时已过", EN: "Age then"},
	"handoff":         {ZH: "交接码", EN: "Hand-off code"},
	"handoff.how":     {ZH: "可电话报读；离线用 posdx decode 还原", EN: "can be read out on the phone; posdx decode reads it offline"},
	"raw":             {ZH: "原始 JSON", EN: "JSON"},
	"revision":        {ZH: "第几版", EN: "Revision"},
	"agent":           {ZH: "终端软件", EN: "Agent"},
	"knowledge":       {ZH: "知识库", EN: "Knowledge"},

	"since":        {ZH: "自", EN: "since"},
	"last.seen":    {ZH: "最近消息", EN: "Last heard"},
	"first.seen":   {ZH: "首次出现", EN: "First seen"},
	"devices":      {ZH: "设备", EN: "Devices"},
	"health":       {ZH: "健康状况", EN: "Health"},
	"health.none":  {ZH: "尚未收到健康快照。", EN: "No health snapshot yet."},
	"health.at":    {ZH: "快照时间", EN: "Snapshot of"},
	"self":         {ZH: "诊断程序自身", EN: "The agent itself"},
	"history":      {ZH: "历史", EN: "History"},
	"gaps":         {ZH: "缺号", EN: "Gaps"},
	"gaps.none":    {ZH: "没有缺号：每份报告都已入库。", EN: "No gaps: every report is stored."},
	"gap.count":    {ZH: "缺少", EN: "missing"},
	"stream":       {ZH: "存储代次", EN: "Outbox"},
	"stored.to":    {ZH: "已确认到", EN: "acknowledged to"},
	"replies":      {ZH: "命令回复", EN: "Replies to commands"},
	"reason":       {ZH: "原因", EN: "Reason"},
	"size":         {ZH: "字节", EN: "Bytes"},
	"kind":         {ZH: "种类", EN: "Kind"},
	"rejected.how": {ZH: "内容不保存：其中可能有任何东西，包括卡数据。", EN: "What they held is not kept: it may be anything, card data included."},

	"incident.of":     {ZH: "共", EN: "of"},
	"incident.open":   {ZH: "进行中", EN: "going on"},
	"incident.closed": {ZH: "已结束", EN: "over"},
	"incident.peak":   {ZH: "最多", EN: "peak"},
	"incident.see":    {ZH: "台终端", EN: "terminals"},

	"state":  {ZH: "状态", EN: "State"},
	"scheme": {ZH: "码表", EN: "Code table"},

	"scope.bearer":      {ZH: "承载", EN: "bearer"},
	"scope.region":      {ZH: "地区", EN: "region"},
	"scope.firmware":    {ZH: "固件", EN: "firmware"},
	"scope.application": {ZH: "支付应用版本", EN: "application"},
	"scope.agent":       {ZH: "代理版本", EN: "agent"},
	"scope.knowledge":   {ZH: "知识库", EN: "knowledge"},
	"scope.scheme":      {ZH: "码表", EN: "code table"},

	"kind.slow":        {ZH: "缓慢上升", EN: "slow rise"},
	"kind.silence":     {ZH: "失联", EN: "fell silent"},
	"incident.outside": {ZH: "各处均匀上升：原因不在已记录的维度内", EN: "rose evenly: the cause is outside of what is recorded"},
	"incident.also":    {ZH: "同时报告", EN: "also reported as"},
	"incident.quiet":   {ZH: "已平静，等待成功交易证明", EN: "quiet, waiting for good sales as proof"},
	"incident.again":   {ZH: "再次出现", EN: "came back"},
	"proof.sales":      {ZH: "成功交易证明已恢复", EN: "proved over by good sales"},
	"proof.sessions":   {ZH: "终端已重新上线", EN: "terminals are back"},
	"proof.none":       {ZH: "未见证明", EN: "no proof seen"},

	"state.online":  {ZH: "在线", EN: "online"},
	"state.offline": {ZH: "离线", EN: "offline"},
	"state.":        {ZH: "未知", EN: "unknown"},

	"gap.open":    {ZH: "等待中", EN: "may still come"},
	"gap.dropped": {ZH: "终端已丢弃并上报", EN: "dropped by the terminal, reported"},
	"gap.lost":    {ZH: "丢失", EN: "lost"},
	"gap.before":  {ZH: "早于本库", EN: "before this store"},

	"login":               {ZH: "登录", EN: "Sign in"},
	"login.with":          {ZH: "用以下方式登录：", EN: "Sign in with"},
	"login.wrong":         {ZH: "用户名或密码错误", EN: "Name or password is wrong"},
	"login.wait":          {ZH: "尝试次数过多，请一刻钟后再试", EN: "Too many tries; wait a quarter of an hour"},
	"login.provider":      {ZH: "登录服务器暂时无法访问", EN: "The sign-in provider cannot be reached now"},
	"login.denied":        {ZH: "登录服务器没有确认您的身份，或此处没有您的账号", EN: "The provider did not vouch for you, or there is no account for you here"},
	"logout":              {ZH: "退出登录", EN: "Sign out"},
	"first":               {ZH: "创建第一个管理员账号", EN: "Make the first account"},
	"first.how":           {ZH: "此链接只能使用一次。密码至少 12 个字符。", EN: "This link works once. The password needs 12 characters or more."},
	"first.make":          {ZH: "创建账号", EN: "Make account"},
	"first.old":           {ZH: "链接已使用或已过期；重新启动 posdx-fleet 可得到新链接", EN: "This link is used up or too old; restart posdx-fleet for a new one"},
	"password":            {ZH: "密码", EN: "Password"},
	"password.old":        {ZH: "当前密码", EN: "Present password"},
	"password.new":        {ZH: "新密码", EN: "New password"},
	"password.change":     {ZH: "修改密码", EN: "Change password"},
	"password.keep":       {ZH: "留空则不变", EN: "empty: as it is"},
	"account":             {ZH: "我的账号", EN: "My account"},
	"accounts":            {ZH: "账号", EN: "Accounts"},
	"account.name":        {ZH: "名称", EN: "Name"},
	"account.role":        {ZH: "角色", EN: "Role"},
	"account.estates":     {ZH: "可见机构", EN: "Estates"},
	"account.estates.how": {ZH: "用空格分隔；留空为全部", EN: "parted by spaces; empty: all"},
	"account.all":         {ZH: "全部", EN: "all"},
	"account.none":        {ZH: "无", EN: "none"},
	"account.changed":     {ZH: "修改时间", EN: "Changed"},
	"account.change":      {ZH: "修改", EN: "Change"},
	"account.disabled":    {ZH: "已停用", EN: "disabled"},
	"account.add":         {ZH: "添加账号", EN: "Add account"},
	"save":                {ZH: "保存", EN: "Save"},
	"tokens":              {ZH: "访问令牌", EN: "Tokens"},
	"token.once":          {ZH: "新令牌，只显示这一次：", EN: "The new token, shown this once:"},
	"token.add":           {ZH: "创建令牌", EN: "Make token"},
	"token.scope":         {ZH: "用途", EN: "Scope"},
	"token.owner":         {ZH: "创建人", EN: "Made by"},
	"token.used":          {ZH: "最近使用", EN: "Last used"},
	"token.expires":       {ZH: "到期", EN: "Expires"},
	"token.days":          {ZH: "有效天数", EN: "Days"},
	"token.revoke":        {ZH: "吊销", EN: "Revoke"},
	"token.revoked":       {ZH: "已吊销", EN: "revoked"},
	"audit":               {ZH: "操作记录", EN: "Audit log"},
	"audit.who":           {ZH: "谁", EN: "Who"},
	"audit.from":          {ZH: "来自", EN: "From"},
	"audit.what":          {ZH: "操作", EN: "What"},
	"audit.object":        {ZH: "对象", EN: "On"},
	"audit.detail":        {ZH: "详情", EN: "Detail"},
	"role.nobody":         {ZH: "无", EN: "nobody"},
	"role.viewer":         {ZH: "查看", EN: "viewer"},
	"role.technician":     {ZH: "技术员", EN: "technician"},
	"role.operator":       {ZH: "运营", EN: "operator"},
	"role.admin":          {ZH: "管理员", EN: "admin"},
	"scope.read":          {ZH: "读取", EN: "read"},
	"scope.write":         {ZH: "读取和操作", EN: "read and write"},
	"scope.metrics":       {ZH: "仅监控指标", EN: "metrics only"},

	"error.400": {ZH: "请求有误", EN: "The request is not right"},
	"error.403": {ZH: "您的角色不能这样做，或表单来自其他网站", EN: "Your role may not do this, or the form came from another site"},
	"error.404": {ZH: "没有这个页面或记录", EN: "There is no such page or record"},
	"error.500": {ZH: "暂时无法读取数据，请稍后再试", EN: "The data cannot be read now; please try again"},
}

// segments in the order of the way from the card to the issuer.
var segments = []string{"card", "operator", "reader", "pinpad", "printer", "terminal", "modem", "lan", "wan", "acquirer", "switch", "issuer", "unknown"}

// langCookie remembers the choice of language.
const langCookie = "lang"

var languages = language.NewMatcher([]language.Tag{language.Chinese, language.English})

// pickLanguage returns "zh" or "en": what was asked for now, or chosen before, or what the browser prefers.
func pickLanguage(r *http.Request) string {
	if l := r.URL.Query().Get("lang"); l == "zh" || l == "en" {
		return l
	}
	if c, err := r.Cookie(langCookie); err == nil && (c.Value == "zh" || c.Value == "en") {
		return c.Value
	}
	tags, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if err != nil || len(tags) == 0 {
		return "zh"
	}
	if _, i, c := languages.Match(tags...); c != language.No && i == 1 {
		return "en"
	}
	return "zh"
}

// vocabulary says which words of the common vocabulary the page's kinds are; all others have the same name.
var vocabulary = map[string]string{"by": "actor", "result": "status", "money": "money.short", "retry": "retry.short"}

// T returns the text of a key; a key of no text returns its last part, so that a word of a newer agent still shows.
func (p *page) T(key ...string) string {
	k := strings.Join(key, ".")
	if t, ok := texts[k]; ok {
		return t.In(p.Lang)
	}
	kind, id, _ := strings.Cut(k, ".")
	if of, ok := vocabulary[kind]; ok {
		kind = of
	}
	return p.knowledge.Word(kind, id).In(p.Lang)
}
