package web

import (
	"slices"
	"strings"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/codes"
)

// A measured is a fact to show.
type measured struct {
	ID, Name, Value string
	Odd             bool // it cannot be: no judgement rests on it
}

// Facts lists what a check measured, by id: names and words in the reader's language, numbers with their unit. The
// grade is left out, since it stands beside the result.
func (p *page) Facts(check string, f report.Facts) []measured {
	list := make([]measured, 0, len(f))
	for id, v := range f {
		if id == "level" {
			continue
		}
		m := measured{ID: id, Name: p.Measure(check, id), Value: p.show(v)}
		if target, ok := v.(string); ok && id == "target" {
			m.Value = p.Subject(target)
		}
		if reg := p.knowledge.Fact(check, id); reg != nil {
			m.Odd = !evidence.Plausible(reg, v)
			if unit, ok := units[reg.Unit]; ok && reg.Kind() == "number" {
				m.Value = strings.TrimSpace(m.Value + " " + unit.In(p.Lang))
			}
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b measured) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// Subject is what a check was asked of: words for the names that every terminal has, and behind them the bearer that it
// was asked by.
func (p *page) Subject(s string) string {
	name, by, found := strings.Cut(s, "@")
	if t, ok := subjects[name]; ok {
		name = t.In(p.Lang)
	} else if w := p.knowledge.Word("scope", name).In(p.Lang); w != name {
		name = w
	}
	if found {
		return name + " @" + by
	}
	return name
}

// subjects are the names of targets and subjects that are fixed.
var subjects = map[string]codes.Text{
	"host-primary": {ZH: "主用主机", EN: "primary host"},
	"host-backup":  {ZH: "备用主机", EN: "backup host"},
	"gateway":      {ZH: "网关", EN: "gateway"},
	"internet":     {ZH: "外网", EN: "internet"},
	"broker":       {ZH: "消息服务器", EN: "broker"},
	"terminal":     {ZH: "终端", EN: "terminal"},
	"system":       {ZH: "系统", EN: "system"},
	"txn":          {ZH: "交易", EN: "sale"},
	"app":          {ZH: "支付应用", EN: "payment application"},
}

// Shared is a value that terminals share, as people call it.
func (p *page) Shared(dim, value string) string {
	switch dim {
	case "scheme":
		return p.SchemeTitle(value)
	case "entry":
		if t, ok := texts["entry."+value]; ok {
			return t.In(p.Lang)
		}
		return p.value(value)
	case "bearer", "card_scheme":
		return p.value(value)
	}
	return value
}

// Measure is what a fact is called, or its id if this program has no word for it.
func (p *page) Measure(check, id string) string {
	for _, k := range []string{check + "." + id, id} {
		if t, ok := measures[k]; ok {
			return t.In(p.Lang)
		}
	}
	return id
}

// value is the word for an id that a fact holds.
func (p *page) value(id string) string {
	for _, kind := range []string{codes.KindFact, "reason", "scope"} {
		if w := p.knowledge.Word(kind, id).In(p.Lang); w != id {
			return w
		}
	}
	return id
}

// measures are what facts are called by people: by the fact's name, or by its check's and its own where several checks
// call different things the same. The ids of programs that have more stay as they are.
var measures = map[string]codes.Text{
	"active":                  {ZH: "在用的承载", EN: "bearer in use"},
	"address":                 {ZH: "地址", EN: "address"},
	"age_s":                   {ZH: "多久以前", EN: "how long ago"},
	"alert":                   {ZH: "TLS 告警号", EN: "TLS alert"},
	"apn_ok":                  {ZH: "APN 正确", EN: "APN right"},
	"app_hello":               {ZH: "支付应用的握手方式", EN: "application's hello"},
	"app_hello_fails":         {ZH: "支付应用的握手被拒绝", EN: "application's hello fails"},
	"approvals_1h":            {ZH: "1 小时批准", EN: "approvals in 1 h"},
	"approvals_by":            {ZH: "批准笔数，按方式", EN: "approvals by way"},
	"approvals_since_update":  {ZH: "更新以来批准", EN: "approvals since the update"},
	"area":                    {ZH: "位置区", EN: "network area"},
	"associated":              {ZH: "已连上 Wi-Fi", EN: "associated"},
	"attached":                {ZH: "已附着", EN: "attached"},
	"auth":                    {ZH: "认证", EN: "authentication"},
	"available_mb":            {ZH: "可用内存", EN: "memory available"},
	"backup_cell_ok":          {ZH: "备用电池正常", EN: "backup cell good"},
	"battery_health":          {ZH: "电池健康", EN: "battery health"},
	"battery_pct":             {ZH: "电量", EN: "battery"},
	"before_build":            {ZH: "时间早于软件发布", EN: "before the program was made"},
	"before_works":            {ZH: "原来的地址能用", EN: "earlier address works"},
	"ber_pct":                 {ZH: "误码率", EN: "bit errors"},
	"best_tech":               {ZH: "可达到的网络制式", EN: "best technology"},
	"blocked":                 {ZH: "域名被拦截", EN: "name is blocked"},
	"by":                      {ZH: "测量方式", EN: "measured by"},
	"bytes":                   {ZH: "未读字节", EN: "bytes passed unread"},
	"card":                    {ZH: "卡", EN: "card"},
	"card_scheme":             {ZH: "卡组织", EN: "card scheme"},
	"cards":                   {ZH: "卡张数", EN: "cards"},
	"cards_1h":                {ZH: "1 小时卡张数", EN: "cards in 1 h"},
	"cards_failed":            {ZH: "读不出的卡", EN: "cards not read"},
	"cards_failed_1h":         {ZH: "1 小时读不出的卡", EN: "cards not read in 1 h"},
	"cards_retried":           {ZH: "重读才成功的卡", EN: "cards read on another try"},
	"cards_same_code_1h":      {ZH: "1 小时得到同一应答码的卡", EN: "cards with this code in 1 h"},
	"carrier":                 {ZH: "网线已接通", EN: "cable connected"},
	"cause":                   {ZH: "网络给出的原因", EN: "network's cause"},
	"celsius":                 {ZH: "温度", EN: "temperature"},
	"certificates":            {ZH: "文件中的证书数", EN: "certificates in the file"},
	"changed_since_approval":  {ZH: "上次批准以来改变", EN: "changed since the last approval"},
	"changes_1h":              {ZH: "1 小时切换", EN: "changes in 1 h"},
	"chars":                   {ZH: "收到的字节", EN: "bytes received"},
	"client_cert_days_left":   {ZH: "客户端证书剩余", EN: "client certificate ends in"},
	"client_cert_refused":     {ZH: "客户端证书被拒绝", EN: "client certificate refused"},
	"cn_only":                 {ZH: "名字只在 CN 中", EN: "name in the subject alone"},
	"code":                    {ZH: "代码", EN: "code"},
	"conflict":                {ZH: "地址冲突", EN: "address conflict"},
	"connect_ms":              {ZH: "接通用时", EN: "time to connect"},
	"context_active":          {ZH: "数据连接已建立", EN: "data context active"},
	"count_24h":               {ZH: "24 小时次数", EN: "in 24 h"},
	"crashes_24h":             {ZH: "24 小时崩溃", EN: "crashes in 24 h"},
	"crc":                     {ZH: "校验错", EN: "checksum errors"},
	"crc_errors":              {ZH: "校验错", EN: "checksum errors"},
	"crc_swapped":             {ZH: "校验字节颠倒", EN: "checksums with bytes swapped"},
	"critical_celsius":        {ZH: "温度上限", EN: "highest temperature"},
	"days_left":               {ZH: "剩余", EN: "ends in"},
	"declines_1h":             {ZH: "1 小时拒绝", EN: "declines in 1 h"},
	"default_routes":          {ZH: "默认路由", EN: "default routes"},
	"dhcp":                    {ZH: "自动获取地址（DHCP）", EN: "by DHCP"},
	"dips_1h":                 {ZH: "1 小时电压跌落", EN: "voltage dips in 1 h"},
	"dips_with_errors_1h":     {ZH: "1 小时伴有错误的电压跌落", EN: "dips with errors in 1 h"},
	"disconnects_1h":          {ZH: "1 小时断开", EN: "disconnects in 1 h"},
	"drops":                   {ZH: "丢弃的包", EN: "packets dropped"},
	"duplicate":               {ZH: "地址重复", EN: "address used twice"},
	"elsewhere":               {ZH: "解析到别的地址", EN: "resolves elsewhere"},
	"enabled":                 {ZH: "已启用", EN: "enabled"},
	"entry":                   {ZH: "读卡方式", EN: "entry mode"},
	"entry_failures":          {ZH: "读卡失败，按方式", EN: "failures by entry mode"},
	"expected":                {ZH: "应为", EN: "expected"},
	"failed":                  {ZH: "失败", EN: "failed"},
	"failed_high_pct":         {ZH: "失败率上限", EN: "failed, at most"},
	"failed_low_pct":          {ZH: "失败率下限", EN: "failed, at least"},
	"failed_low_pct_by":       {ZH: "失败率下限，按环节", EN: "failed, at least, by part"},
	"failures":                {ZH: "故障次数", EN: "failures"},
	"family":                  {ZH: "协议族", EN: "address family"},
	"firmware":                {ZH: "固件", EN: "firmware"},
	"first":                   {ZH: "首字节", EN: "first byte"},
	"first_seen_age_s":        {ZH: "首次出现距今", EN: "first seen ago"},
	"first_try":               {ZH: "第一次尝试", EN: "first try"},
	"flaps_1h":                {ZH: "1 小时通断", EN: "link flaps in 1 h"},
	"frame":                   {ZH: "帧错误", EN: "framing errors"},
	"frames_good":             {ZH: "正确的帧", EN: "good frames"},
	"free_kb":                 {ZH: "剩余空间", EN: "free"},
	"free_pct":                {ZH: "剩余空间", EN: "free"},
	"gateway":                 {ZH: "网关", EN: "gateway"},
	"gateway_in_subnet":       {ZH: "网关在本网段", EN: "gateway in the subnet"},
	"gateway_on_link":         {ZH: "网关直连", EN: "gateway on the link"},
	"good":                    {ZH: "成功", EN: "good"},
	"head":                    {ZH: "磁头或读头", EN: "head"},
	"hello":                   {ZH: "被接受的握手", EN: "hello that was answered"},
	"host_answer_seen":        {ZH: "收到主机应答", EN: "host's answer seen"},
	"host_ok":                 {ZH: "主机地址正确", EN: "host address right"},
	"hung_tasks_24h":          {ZH: "24 小时挂起的任务", EN: "hung tasks in 24 h"},
	"iface":                   {ZH: "网络接口", EN: "interface"},
	"inodes_free_pct":         {ZH: "剩余 inode", EN: "inodes free"},
	"installed":               {ZH: "已装", EN: "installed"},
	"io_errors_24h":           {ZH: "24 小时读写错误", EN: "I/O errors in 24 h"},
	"io_errors_other_24h":     {ZH: "24 小时其他盘读写错误", EN: "I/O errors of other disks in 24 h"},
	"ip":                      {ZH: "IP 地址", EN: "IP address"},
	"issuer":                  {ZH: "签发者", EN: "issuer"},
	"issuers_same_code_1h":    {ZH: "1 小时得到同一应答码的发卡方", EN: "issuers with this code in 1 h"},
	"jitter_ms":               {ZH: "抖动", EN: "jitter"},
	"keys_loaded":             {ZH: "已灌密钥", EN: "keys loaded"},
	"kind":                    {ZH: "种类", EN: "kind"},
	"large_hello":             {ZH: "大握手包", EN: "large hello"},
	"largest_ok_bytes":        {ZH: "能通过的最大包", EN: "largest packet through"},
	"last_approval_age_s":     {ZH: "上次批准距今", EN: "last approval ago"},
	"last_reason":             {ZH: "上次重启原因", EN: "last reboot by"},
	"last_signin_result":      {ZH: "上次签到结果", EN: "last sign-in"},
	"level":                   {ZH: "等级", EN: "level"},
	"life_used_pct":           {ZH: "已用寿命", EN: "life used"},
	"link_down_24h":           {ZH: "24 小时断线", EN: "link losses in 24 h"},
	"load1":                   {ZH: "1 分钟负载", EN: "load over 1 min"},
	"loss_pct":                {ZH: "丢包", EN: "loss"},
	"lost_lines":              {ZH: "丢失的日志行", EN: "log lines lost"},
	"maker":                   {ZH: "厂商", EN: "maker"},
	"menu_ok":                 {ZH: "菜单权限", EN: "menu allowed"},
	"merchant_id_ok":          {ZH: "商户号正确", EN: "merchant number right"},
	"messages_read":           {ZH: "已读报文", EN: "messages read"},
	"messages_unread":         {ZH: "读不懂的报文", EN: "messages not read"},
	"millivolts":              {ZH: "电压", EN: "voltage"},
	"missing":                 {ZH: "缺少", EN: "missing"},
	"model":                   {ZH: "型号", EN: "model"},
	"ms":                      {ZH: "用时", EN: "took"},
	"mti":                     {ZH: "报文类型", EN: "message type"},
	"name":                    {ZH: "名称", EN: "name"},
	"neighbour":               {ZH: "ARP 应答", EN: "neighbour"},
	"no_address":              {ZH: "没有可用的地址记录", EN: "no address record"},
	"no_approval_s":           {ZH: "多久没有批准", EN: "no approval for"},
	"normal_response_ms":      {ZH: "平时应答用时", EN: "usual answer time"},
	"not_in_encoding":         {ZH: "编码不符的行", EN: "lines not in the encoding"},
	"note":                    {ZH: "说明", EN: "note"},
	"offline":                 {ZH: "脱机", EN: "off line"},
	"offset_s":                {ZH: "时钟偏差", EN: "clock is off by"},
	"old_version":             {ZH: "只会旧版 TLS", EN: "old TLS only"},
	"oom_24h":                 {ZH: "24 小时内存耗尽", EN: "out of memory in 24 h"},
	"oom_kills_24h":           {ZH: "24 小时因内存终止的程序", EN: "killed for memory in 24 h"},
	"operator":                {ZH: "运营商", EN: "operator"},
	"outcome":                 {ZH: "结果", EN: "outcome"},
	"overheat_24h":            {ZH: "24 小时过热", EN: "overheated in 24 h"},
	"overrun":                 {ZH: "溢出", EN: "overruns"},
	"packets":                 {ZH: "包数", EN: "packets"},
	"parity":                  {ZH: "奇偶错", EN: "parity errors"},
	"path":                    {ZH: "路径", EN: "path"},
	"pending_reversals":       {ZH: "待冲正", EN: "reversals waiting"},
	"phone_ok":                {ZH: "电话号码正确", EN: "phone number right"},
	"portal":                  {ZH: "登录门户拦截", EN: "a portal answers"},
	"pre_eol":                 {ZH: "寿命预警", EN: "end of life"},
	"prefix":                  {ZH: "网段前缀", EN: "prefix"},
	"present":                 {ZH: "存在", EN: "present"},
	"pressure_avg10":          {ZH: "10 秒压力", EN: "pressure over 10 s"},
	"processors":              {ZH: "处理器数", EN: "processors"},
	"proxy_status":            {ZH: "代理应答", EN: "proxy answered"},
	"public_address":          {ZH: "公网地址", EN: "public address"},
	"purpose":                 {ZH: "用途", EN: "purpose"},
	"radio":                   {ZH: "射频", EN: "radio"},
	"reached_after":           {ZH: "第几次才接通", EN: "reached at try"},
	"read_only":               {ZH: "只读", EN: "read only"},
	"reader_resets":           {ZH: "读卡器复位", EN: "reader resets"},
	"reason":                  {ZH: "原因", EN: "reason"},
	"remembered_s":            {ZH: "用的是多久前的解析结果", EN: "answer remembered for"},
	"reset":                   {ZH: "连接被重置", EN: "connection reset"},
	"resolvers_differ":        {ZH: "各域名服务器说法不一", EN: "resolvers differ"},
	"resolvers_failed":        {ZH: "不应答的域名服务器", EN: "resolvers that failed"},
	"response_ms":             {ZH: "应答用时", EN: "time to the answer"},
	"restarts_24h":            {ZH: "24 小时重启", EN: "restarts in 24 h"},
	"restarts_since_approval": {ZH: "上次批准以来重启", EN: "restarts since the last approval"},
	"retrans":                 {ZH: "重传", EN: "retransmissions"},
	"retrans_pct":             {ZH: "重传", EN: "retransmitted"},
	"role_ok":                 {ZH: "角色权限", EN: "role allowed"},
	"rsrp_dbm":                {ZH: "RSRP", EN: "RSRP"},
	"rsrq_db":                 {ZH: "RSRQ", EN: "RSRQ"},
	"rssi_dbm":                {ZH: "信号强度 RSSI", EN: "RSSI"},
	"rtc_cell_flat":           {ZH: "时钟电池耗尽", EN: "clock's cell flat"},
	"rtt_ms":                  {ZH: "往返时延", EN: "round trip"},
	"running":                 {ZH: "在运行", EN: "running"},
	"rx_errors":               {ZH: "接收错误", EN: "receive errors"},
	"same_code_1h":            {ZH: "1 小时同一应答码", EN: "this code in 1 h"},
	"same_code_since_update":  {ZH: "更新以来同一应答码", EN: "this code since the update"},
	"samples":                 {ZH: "样本数", EN: "samples"},
	"scope":                   {ZH: "范围", EN: "scope"},
	"segfaults_24h":           {ZH: "24 小时程序段错误", EN: "segmentation faults in 24 h"},
	"sent":                    {ZH: "请求已发出", EN: "request left"},
	"serial_overruns_24h":     {ZH: "24 小时串口溢出", EN: "serial overruns in 24 h"},
	"sha1":                    {ZH: "SHA-1 签名", EN: "signed by SHA-1"},
	"share_pct":               {ZH: "占比", EN: "share"},
	"signed_in":               {ZH: "已签到", EN: "signed in"},
	"signin_age_s":            {ZH: "上次签到距今", EN: "signed in ago"},
	"sinr_db":                 {ZH: "信噪比 SINR", EN: "SINR"},
	"size":                    {ZH: "首段长度", EN: "first piece"},
	"source":                  {ZH: "来源", EN: "source"},
	"spec":                    {ZH: "规范", EN: "specification"},
	"speed_mbps":              {ZH: "速率", EN: "speed"},
	"ssid_ok":                 {ZH: "Wi-Fi 名称正确", EN: "network name right"},
	"stan":                    {ZH: "流水号", EN: "trace number"},
	"stan_reused":             {ZH: "流水号重复", EN: "trace number used twice"},
	"state":                   {ZH: "状态", EN: "state"},
	"statistics":              {ZH: "设备统计", EN: "device statistics"},
	"stopped":                 {ZH: "停在", EN: "stopped at"},
	"stray_bytes":             {ZH: "多余字节", EN: "stray bytes"},
	"target":                  {ZH: "目标", EN: "target"},
	"tech":                    {ZH: "网络制式", EN: "technology"},
	"terminal_id":             {ZH: "终端号", EN: "terminal number"},
	"terminal_id_ok":          {ZH: "终端号正确", EN: "terminal number right"},
	"terminals":               {ZH: "终端数", EN: "terminals"},
	"throttled":               {ZH: "因过热降速", EN: "throttled"},
	"tlcp":                    {ZH: "国密 TLCP", EN: "TLCP"},
	"total_mb":                {ZH: "内存总量", EN: "memory in all"},
	"tpdu_ok":                 {ZH: "TPDU 正确", EN: "TPDU right"},
	"tries":                   {ZH: "尝试次数", EN: "tries"},
	"trouble_before_pct":      {ZH: "此前异常读卡", EN: "troubled reads before"},
	"trouble_pct":             {ZH: "异常读卡", EN: "troubled reads"},
	"trusted":                 {ZH: "可信", EN: "trusted"},
	"turn":                    {ZH: "时间节点", EN: "turn of time"},
	"turn_age_s":              {ZH: "距时间节点", EN: "since the turn"},
	"unanswered":              {ZH: "未应答的命令", EN: "commands unanswered"},
	"under_voltage":           {ZH: "电压不足", EN: "under-voltage"},
	"under_voltage_24h":       {ZH: "24 小时电压不足", EN: "under-voltage in 24 h"},
	"unreadable":              {ZH: "读不出的文件", EN: "unreadable files"},
	"unsettled":               {ZH: "未结算", EN: "unsettled"},
	"updated_age_s":           {ZH: "上次更新距今", EN: "updated ago"},
	"usb_disconnects_24h":     {ZH: "24 小时 USB 断开", EN: "USB disconnects in 24 h"},
	"usb_errors_24h":          {ZH: "24 小时 USB 错误", EN: "USB errors in 24 h"},
	"via":                     {ZH: "经由", EN: "by way of"},
	"volts":                   {ZH: "线路电压", EN: "line voltage"},
	"wants_certificate":       {ZH: "主机要求客户端证书", EN: "host wants a client certificate"},
	"watched_s":               {ZH: "观察了", EN: "watched for"},
	"wearing":                 {ZH: "正在磨损的部分", EN: "wearing"},
	"which":                   {ZH: "哪张证书", EN: "which certificate"},
	"window_s":                {ZH: "统计时长", EN: "counted over"},

	"fleet.advisory.code":   {ZH: "应答码", EN: "code"},
	"reader.selftest.code":  {ZH: "故障码", EN: "fault code"},
	"pinpad.port.code":      {ZH: "故障码", EN: "fault code"},
	"modem.bearer.address":  {ZH: "移动网络地址", EN: "address on the mobile network"},
	"board.storage.free_kb": {ZH: "剩余空间", EN: "free space"},
	"net.dns.name":          {ZH: "域名", EN: "name"},
	"board.power.source":    {ZH: "供电", EN: "power from"},
	"board.clock.source":    {ZH: "时间来源", EN: "time from"},
	"board.clock.trusted":   {ZH: "时钟可信", EN: "clock trusted"},

	// What the agent says of itself.
	"goroutines":       {ZH: "协程", EN: "goroutines"},
	"descriptors":      {ZH: "打开的文件", EN: "open files"},
	"rss_kb":           {ZH: "内存（kB）", EN: "memory (kB)"},
	"outbox_records":   {ZH: "待发报告", EN: "reports waiting"},
	"outbox_bytes":     {ZH: "待发字节", EN: "bytes waiting"},
	"outbox_ram":       {ZH: "只在内存中的报告", EN: "reports in memory only"},
	"dropped":          {ZH: "丢弃的报告", EN: "reports dropped"},
	"scrubbed":         {ZH: "去掉的卡数据", EN: "card data taken out"},
	"lost":             {ZH: "没有记下的应答码", EN: "codes not kept"},
	"flash_written":    {ZH: "写入存储芯片的字节", EN: "bytes written to flash"},
	"outbox_corrupt":   {ZH: "损坏的待发记录", EN: "damaged records"},
	"link_frames":      {ZH: "收银连线的帧", EN: "frames of the register's link"},
	"link_spoiled":     {ZH: "收银连线的坏帧", EN: "spoiled frames of the register's link"},
	"link_naks":        {ZH: "收银连线的 NAK", EN: "NAKs of the register's link"},
	"link_damaged":     {ZH: "收银连线的线路错误", EN: "line errors of the register's link"},
	"link_missed":      {ZH: "收银连线漏看的字节", EN: "bytes of the register's link not seen"},
	"budget_left":      {ZH: "剩余流量", EN: "budget left"},
	"commands":         {ZH: "收到的命令", EN: "commands"},
	"commands_refused": {ZH: "拒绝的命令", EN: "commands refused"},
	"connect_failures": {ZH: "连接失败", EN: "connects that failed"},
	"bad_messages":     {ZH: "读不懂的消息", EN: "messages that could not be read"},
	"replies_lost":     {ZH: "没有送出的命令应答", EN: "replies not delivered"},
	"set_aside":        {ZH: "消息服务器不收的报告", EN: "reports that the broker does not take"},
	"resent":           {ZH: "重发", EN: "sent again"},
	"sessions":         {ZH: "会话", EN: "sessions"},
	"wire_in":          {ZH: "收到的字节", EN: "bytes received"},
	"bytes_status":     {ZH: "状态的字节", EN: "bytes of states"},
	"bytes_birth":      {ZH: "上线报告的字节", EN: "bytes of births"},
	"bytes_diagnosis":  {ZH: "诊断的字节", EN: "bytes of diagnoses"},
	"bytes_health":     {ZH: "健康快照的字节", EN: "bytes of health"},
	"bytes_tally":      {ZH: "每小时计数的字节", EN: "bytes of tallies"},
	"bytes_dropped":    {ZH: "丢弃报告的字节", EN: "bytes of what was dropped"},
	"bytes_outcome":    {ZH: "复核的字节", EN: "bytes of outcomes"},
	"bytes_asked":      {ZH: "询问结果的字节", EN: "bytes of what was asked"},
	"bytes_reply":      {ZH: "命令应答的字节", EN: "bytes of replies"},
	"wire_out":         {ZH: "发出的字节", EN: "bytes sent"},
}

// units are what stands behind a number, by the unit of the catalogue. Counts have none.
var units = map[string]codes.Text{
	"count":   {},
	"pct":     {ZH: "%", EN: "%"},
	"ms":      {ZH: "毫秒", EN: "ms"},
	"s":       {ZH: "秒", EN: "s"},
	"days":    {ZH: "天", EN: "d"},
	"mv":      {ZH: "mV", EN: "mV"},
	"v":       {ZH: "V", EN: "V"},
	"celsius": {ZH: "°C", EN: "°C"},
	"mbps":    {ZH: "Mbit/s", EN: "Mbit/s"},
	"kb":      {ZH: "kB", EN: "kB"},
	"mb":      {ZH: "MB", EN: "MB"},
	"bytes":   {ZH: "字节", EN: "bytes"},
	"bits":    {ZH: "位", EN: "bits"},
	"dbm":     {ZH: "dBm", EN: "dBm"},
	"db":      {ZH: "dB", EN: "dB"},
}
