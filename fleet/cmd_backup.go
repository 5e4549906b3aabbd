package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"posdx/fleet/access"
	"posdx/fleet/backup"
	"posdx/fleet/enroll"
	"posdx/fleet/store"
)

func runBackup(ctx context.Context, s stdio, args []string) int {
	f := flags(
		s,
		"backup",
		"FILE [OPTIONS]",
		"在管理平台运行时，把数据库、终端证书机构的密钥和消息服务器的会话名复制到一个文件里。该文件必须还不存在。其中有口令散列值和私钥，请妥善保管。PostgreSQL 数据库请用 pg_dump 备份。",
		"Keeps a copy of the store, of the keys of the terminals' authority and of the broker's session name in one file, while the fleet runs. The file must not be there yet. It holds password hashes and private keys: guard it. Of a PostgreSQL store pg_dump makes the copy.",
		"posdx-fleet backup --data /var/lib/posdx-fleet /backup/fleet.tar.gz",
	)
	data := f.String("data", defaultData, "管理平台的数据目录 `DIR`\n`DIR` of the fleet")
	words, code, ok := parse(s, f, args, 1)
	if !ok {
		return code
	}
	db, err := openData(ctx, *data)
	if err != nil {
		return failed(s, "backup", err)
	}
	defer db.Close()
	m, err := backup.Write(ctx, db, *data, words[0], version)
	if err != nil {
		return failed(s, "backup", err)
	}
	s.print("%s：数据库版本 %d，另有 %d 个文件", "%s: store version %d and %d more files", words[0], m.Schema, len(m.Files)-1)
	return exitOK
}

func runRestore(ctx context.Context, s stdio, args []string) int {
	f := flags(
		s,
		"restore",
		"FILE --data DIR",
		"由备份建立数据目录。DIR 必须还不存在或是空的。所有文件都先检查过再放到位；较早版本的数据库在 serve 打开时升级。",
		"Makes a data directory of a backup. DIR must not be there yet, or be empty. Every file is checked before anything is put in place; a store of an earlier release is raised when serve opens it.",
		"posdx-fleet restore /backup/fleet.tar.gz --data /var/lib/posdx-fleet",
	)
	data := f.String("data", defaultData, "要建立的目录 `DIR`\n`DIR` to make")
	crl := f.String("crl", "", "消息服务器手里最新的吊销列表 `FILE`（crl.pem）：其中所列照样吊销\n`FILE` with the newest revocation list that a broker has (crl.pem): what it says is taken over")
	words, code, ok := parse(s, f, args, 1)
	if !ok {
		return code
	}
	m, err := backup.Restore(ctx, words[0], *data)
	if err != nil {
		return failed(s, "restore", err)
	}
	made := m.Made.Local().Format(time.DateTime)
	s.print("%s：截至 %s，由 posdx-fleet %s 备份，数据库版本 %d", "%s: as of %s, by posdx-fleet %s, store version %d", *data, made, m.Program, m.Schema)
	if *crl != "" {
		fresh, foreign, err := mergeCRL(ctx, *data, *crl)
		if err != nil {
			os.RemoveAll(*data) // it was empty before; half a restore is left nowhere
			return failed(s, "restore", err)
		}
		s.print("此后吊销了 %d 张证书", "%d certificates revoked since then", fresh)
		if foreign > 0 {
			s.print("%[2]s 里有 %[1]d 份列表属于此后建立的证书机构；那些终端要重新领取证书",
				"%d of the lists in %s are of authorities made since; their terminals enrol anew", foreign, *crl)
		}
	}
	s.print("%s 以后收回的，在这份副本里又有效了：请重新吊销那些令牌，停用那些账户",
		"what was taken back after %s is good again in this copy: revoke such tokens and disable such accounts anew", made)
	if _, err := os.Stat(filepath.Join(*data, "authority")); err == nil && *crl == "" {
		s.print("终端证书也一样（posdx-fleet enroll revoke）；或者用 --crl 和消息服务器最新的吊销列表再恢复一次",
			"so with terminals' certificates (posdx-fleet enroll revoke), or restore again with --crl and the newest list of a broker")
	}
	return exitOK
}

// mergeCRL takes over what a broker knows of revoked certificates.
func mergeCRL(ctx context.Context, data, file string) (fresh, foreign int, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, fmt.Errorf("read revocation list: %w", err)
	}
	db, err := openData(ctx, data)
	if err != nil {
		return 0, 0, err
	}
	defer db.Close()
	a := &enroll.Authority{Store: db, Dir: filepath.Join(data, "authority"), Policy: enroll.Default}
	if fresh, foreign, err = a.Merge(ctx, b); err != nil {
		return fresh, foreign, fmt.Errorf("%s: %w", file, err)
	}
	return fresh, foreign, (&access.Keeper{Store: db}).Note(ctx, here(), "certificate.revoke", "", file, fmt.Sprint(fresh))
}

func runStore(ctx context.Context, s stdio, args []string) int {
	f := flags(
		s,
		"store",
		"check | down --to VERSION [OPTIONS]",
		"check 读一遍整个 SQLite 数据库，说出它的版本，或者哪里有错。down 把数据库退回上一个版本的格式：那个版本不认识的内容（退到 2：账户、备注、审计日志）会丢失，所以请先备份，并停止 posdx-fleet。升级由 serve 自己完成。",
		"check reads a whole SQLite store and says its version, or what is wrong with it. down takes a store back to what the release before wrote: what that release does not know (going to 2: accounts, notes, the audit log) is lost, so make a backup first, and stop posdx-fleet. The way up is taken by serve itself.",
		"posdx-fleet store check\nposdx-fleet store down --to 3",
	)
	data := f.String("data", defaultData, "管理平台的数据目录 `DIR`\n`DIR` of the fleet")
	address := f.String("store", "", "数据库地址 `ADDRESS`：sqlite:PATH 或 postgres://…（默认用 --data 里的 sqlite）\n`ADDRESS` of the store: sqlite:PATH or postgres://… (default sqlite in --data)")
	to := f.Int("to", 0, "down：退到这个`版本`\ndown: the `VERSION` to take it to")
	words, code, ok := parse(s, f, args, 1)
	if !ok {
		return code
	}
	if words[0] == "down" && *to == 0 {
		return s.wrong("store", "down：请给出要退到的版本：--to VERSION；store check 显示现在的版本",
			"down: give the version to take it to: --to VERSION; store check says what it has")
	}
	path, isLite := strings.CutPrefix(*address, "sqlite:")
	if *address == "" {
		path, isLite = storeFile(*data), true
	}
	switch words[0] {
	case "check":
		if !isLite {
			return failed(s, "store", store.ErrNotLite)
		}
		v, err := store.Check(ctx, path)
		if err != nil {
			return failed(s, "store", err)
		}
		s.print("%s：完好，版本 %d", "%s: whole, version %d", path, v)
	case "down":
		where := *address
		if isLite {
			if _, err := store.Check(ctx, path); err != nil {
				return failed(s, "store", err)
			}
			where = "sqlite:" + path
		}
		claim, err := store.ClaimStore(where)
		if err != nil {
			return failed(s, "store", err)
		}
		defer claim.Free()
		db, err := store.Open(ctx, where)
		if err != nil {
			return failed(s, "store", err)
		}
		defer db.Close()
		if err := db.Down(ctx, *to); err != nil {
			return failed(s, "store", err)
		}
		s.print("版本 %d", "version %d", *to)
	default:
		return s.wrong("store", "%q：应为 check 或 down", "%q: want check or down", words[0])
	}
	return exitOK
}
