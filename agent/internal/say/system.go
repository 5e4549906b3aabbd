package say

import (
	"context"
	"errors"
	"io"
	"io/fs"
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
	{context.DeadlineExceeded, "超时"}, {context.Canceled, "已中断"}, {io.ErrUnexpectedEOF, "内容不完整"}, {io.EOF, "内容不完整"},
	{fs.ErrNotExist, "没有这个文件或目录"}, {fs.ErrPermission, "没有权限"}, {fs.ErrExist, "已经存在"}, {fs.ErrClosed, "已经关闭"},
}

// system says in Chinese what the system reports; what is not known here stands in its own words, in quotes.
func system(err error) string {
	for _, e := range errnos {
		if errors.Is(err, e.err) {
			return e.zh
		}
	}
	return New("error-system", err.Error()).In("zh")
}
