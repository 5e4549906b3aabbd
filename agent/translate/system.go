package translate

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"regexp"
	"regexp/syntax"
	"strings"
	"syscall"
)

// errnos says the system's usual errors in Chinese.
var errnos = [...]struct {
	err error
	zh  string
}{
	{syscall.ENOENT, "没有这个文件或目录"}, {syscall.EACCES, "没有权限"}, {syscall.EPERM, "没有权限"}, {syscall.EBUSY, "正被占用"},
	{syscall.EEXIST, "已经存在"}, {syscall.ENOTDIR, "不是目录"}, {syscall.EISDIR, "是目录"}, {syscall.ENOSPC, "存储空间已满"},
	{syscall.EROFS, "文件系统只读"}, {syscall.EIO, "读写出错"}, {syscall.ECONNREFUSED, "连接被拒绝"}, {syscall.ETIMEDOUT, "超时"},
	{syscall.ENODEV, "没有这个设备"}, {syscall.ENXIO, "没有这个设备"}, {syscall.ENOTTY, "不是终端设备"}, {syscall.EINVAL, "参数无效"},
	{syscall.EMFILE, "打开的文件太多"}, {syscall.ENAMETOOLONG, "名字太长"}, {syscall.EADDRINUSE, "地址已被占用"}, {syscall.ELOOP, "链接绕了圈"},
	{syscall.ECONNRESET, "连接被对方断开"}, {syscall.EHOSTUNREACH, "到不了主机"}, {syscall.ENETUNREACH, "到不了网络"}, {syscall.EPIPE, "对方已关闭"},
	{syscall.EADDRNOTAVAIL, "本机没有这个地址"}, {os.ErrDeadlineExceeded, "超时"},
	{context.DeadlineExceeded, "超时"}, {context.Canceled, "已中断"}, {io.ErrUnexpectedEOF, "内容不完整"}, {io.EOF, "内容不完整"},
	{gzip.ErrHeader, "不是 gzip 文件"}, {gzip.ErrChecksum, "内容已损坏"},
	{fs.ErrNotExist, "没有这个文件或目录"}, {fs.ErrPermission, "没有权限"}, {fs.ErrExist, "已经存在"}, {fs.ErrClosed, "已经关闭"},
}

// System says in Chinese what the system or a library reports; what is not known here stands in its own words, in
// quotes.
func System(err error) string {
	var path *fs.PathError
	var link *os.LinkError
	var op *net.OpError
	var name *net.DNSError
	var pattern *syntax.Error
	switch {
	case errors.As(err, &path):
		return path.Path + "：" + errno(path.Err)
	case errors.As(err, &link):
		return link.New + "：" + errno(link.Err)
	case errors.As(err, &name):
		return name.Name + "：找不到这个主机名"
	case errors.As(err, &op) && op.Addr != nil:
		return op.Addr.String() + "：" + errno(op.Err)
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "证书不是由信任的 CA 签发的"
	case errors.As(err, new(x509.HostnameError)):
		return "证书不是给这个主机名的"
	case errors.As(err, &pattern):
		_, what, _ := strings.Cut(patterns, "\n"+string(pattern.Code)+"=")
		what, _, _ = strings.Cut(what, "\n")
		return fmt.Sprintf("%q %s", pattern.Expr, what)
	}
	return errno(err)
}

func errno(err error) string {
	for _, e := range errnos {
		if errors.Is(err, e.err) {
			return e.zh
		}
	}
	if said := ofSystem(err.Error()); said != "" {
		return said
	}
	return "系统报告 “" + err.Error() + "”"
}

// calls are what stands before the system's words: names of its calls.
var calls = regexp.MustCompile(`^(?:(?:dial|connect|read|write|open|lookup|tcp|listen|bind|ioctl): )*$`)

// ofSystem says in Chinese what the system reported, by its words; nothing if they are not known.
func ofSystem(text string) string {
	for _, e := range errnos {
		if before, ok := strings.CutSuffix(text, e.err.Error()); ok && calls.MatchString(before) {
			return e.zh
		}
	}
	return ""
}

// patterns says in Chinese what is wrong with a regular expression, by the library's own words.
const patterns = `
invalid character class=不是字符类
invalid character class range=字符范围不对
invalid escape sequence=不是转义
invalid named capture=组的名字不对
invalid or unsupported Perl syntax=不支持这种 Perl 写法
invalid repeat count=重复次数不对
trailing backslash at end of expression=末尾多了反斜杠
missing argument to repetition operator=重复符前面没有内容
missing closing ]=缺少 ]
missing closing )=缺少 )
unexpected )=多了一个 )
invalid UTF-8=不是 UTF-8
invalid nested repetition operator=重复符连用
expression nests too deeply=嵌套太深
expression too large=表达式太大
`
