#!/bin/sh
# Installs, upgrades, proves, takes back and removes posdx: one way for tar, deb, ipk and apk. Needs root and a busybox
# shell, nothing else.
#   setup install [--no-start]   from the folder this script lies in; the program before runs on until the new one has
#                                checked itself, and comes back when the new one is not well within a minute
#   setup remove [--purge]       configuration, queued diagnoses and the user stay, unless --purge is given
#   setup boot | prove | ended   what the start scripts call: finish what a power cut broke off, judge a new program
# DESTDIR=/other/root installs into an image that is not running.
set -eu
root=${DESTDIR:-${IPKG_INSTROOT:-${DPKG_ROOT:-}}}
lib=$root/usr/lib/posdx
program=$root/usr/bin/posdx
before=$lib/posdx.before   # the program before, as a second name of the same file or packed, until the new one is proven
pending=$lib/pending       # the new program is not proven yet: its version, and how often it was started
taken=$lib/taken-back      # why the last new program was taken back
etc=$root/etc
config=$etc/posdx/posdx.toml
units=$root/lib/systemd/system
state=/var/lib/posdx
bound=${POSDX_BOUND:-60} # seconds in which a new program must be well
margin=512 # kB that stay free
by=tar
again=install.sh # what finishes an installation that was refused

# Texts are in Chinese, then in English; which is said follows the rules of posdx itself: the environment, else the
# configuration, else Chinese.
language=zh
for l in "${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}" "$(awk -F'"' '/^ *language *=/ {print $2; exit}' "$config" 2>/dev/null)"; do
	case $l in zh | zh[_.@-]* | en | en[_.@-]*) language=$l; break ;; esac
done
said() { case $language in en*) echo "$2" ;; *) echo "$1" ;; esac; }
die() { echo "posdx setup: $(said "$@")" >&2; rm -f "$program.new" 2>/dev/null || :; exit 1; }
say() { echo "posdx setup: $(said "$@")"; }
note() { # what happened while nobody looked belongs into the system's log too, which is English
	say "$@"
	[ -n "$root" ] || ! command -v logger >/dev/null 2>&1 || logger -t posdx -- "setup: $2" || :
}
kilobytes() { echo $((($(wc -c <"$1") + 1023) / 1024)); }
free() { df -P -k "$1" 2>/dev/null | awk 'NR == 2 {print $4}'; }

# Every file appears whole or not at all: the plug may be pulled now.
put() { # mode source target
	[ "$2" = "$3" ] && return
	if ! { cp "$2" "$3.new" && chmod "$1" "$3.new" && sync && mv "$3.new" "$3"; }; then
		rm -f "$3.new"
		die "无法写入 $3：存储是否已满或只读？正在运行的没有改动" "$3 cannot be written: is the disk full or read-only? Nothing that runs was changed"
	fi
}
edit() { # file, how many lines it gains, what makes the new one of it: a full disk must not cut a list of users short
	file=$1 gain=$2
	shift 2
	cp -p "$file" "$file.posdx" && "$@" <"$file" >"$file.posdx" && [ "$(wc -l <"$file.posdx")" -eq $(($(wc -l <"$file") + gain)) ] &&
		sync && mv "$file.posdx" "$file" && return
	rm -f "$file.posdx"
	die "无法写入 $file：存储是否已满或只读？" "$file cannot be written: is the disk full or read-only?"
}
with_line() { cat; echo "$1"; }
add_line() { # file line
	[ -f "$1" ] || : >"$1"
	edit "$1" 1 with_line "$2"
}

# The user. Terminals have busybox's adduser, useradd, or neither: the files are the same everywhere.
first_free() { # file, from
	n=$2
	while grep -q "^[^:]*:[^:]*:$n:" "$1" 2>/dev/null; do n=$((n + 1)); done
	echo "$n"
}
id_of() { awk -F: -v n=posdx '$1 == n {print $3}' "$etc/$1"; }
account() {
	if ! grep -q '^posdx:' "$etc/group" 2>/dev/null; then
		gid=$(first_free "$etc/group" 900)
		add_line "$etc/group" "posdx:x:$gid:"
		[ ! -f "$etc/gshadow" ] || add_line "$etc/gshadow" 'posdx:!::'
	fi
	if ! grep -q '^posdx:' "$etc/passwd" 2>/dev/null; then
		uid=$(first_free "$etc/passwd" 900)
		add_line "$etc/passwd" "posdx:x:$uid:$(id_of group):posdx:$state:/bin/false"
		[ ! -f "$etc/shadow" ] || grep -q '^posdx:' "$etc/shadow" || add_line "$etc/shadow" 'posdx:!:19000:0:99999:7:::'
	fi
	# Serial ports and printers belong to these groups where they exist.
	for g in dialout uucp lp; do
		for f in group gshadow; do
			[ -f "$etc/$f" ] || continue
			awk -F: -v g=$g '$1 == g && index("," $4 ",", ",posdx,") == 0 {found = 1} END {exit !found}' "$etc/$f" || continue
			edit "$etc/$f" 0 awk -F: -v OFS=: -v g=$g '$1 == g {$4 = $4 ($4 == "" ? "" : ",") "posdx"} {print}'
		done
	done
}
forget_account() {
	for f in passwd shadow group gshadow; do
		[ -f "$etc/$f" ] || continue
		edit "$etc/$f" -"$(grep -c '^posdx:' "$etc/$f" || :)" awk -F: -v OFS=: '
			$1 == "posdx" {next}
			NF == 4 && index("," $4 ",", ",posdx,") {m = "," $4 ","; sub(/,posdx,/, ",", m); sub(/^,/, "", m); sub(/,$/, "", m); $4 = m}
			{print}'
	done
}

# Which first process starts things here.
kind() {
	if [ -z "$root" ] && [ -d /run/systemd/system ]; then
		echo systemd
	elif [ -x "$root/sbin/procd" ]; then
		echo procd
	elif [ -x "$root/sbin/openrc-run" ]; then
		echo openrc
	else
		echo script
	fi
}
service() {
	case $(kind) in
	systemd) systemctl "$@" posdx ;;
	*) POSDX_SETUP=runs "$etc/init.d/posdx" "$@" ;;
	esac
}
running() {
	[ -z "$root" ] || return 1
	case $(kind) in
	systemd) systemctl -q is-active posdx 2>/dev/null ;;
	procd) [ -x "$etc/init.d/posdx" ] && "$etc/init.d/posdx" running >/dev/null 2>&1 ;;
	*) [ -x "$etc/init.d/posdx" ] && "$etc/init.d/posdx" status >/dev/null 2>&1 ;;
	esac
}

# Makes it start at every boot, or says the line that does. Only once: whoever switched it off later meant it.
at_boot() {
	unit=no
	if [ -d "$units" ]; then
		mkdir -p "$etc/systemd/system/multi-user.target.wants"
		ln -sf /lib/systemd/system/posdx.service "$etc/systemd/system/multi-user.target.wants/posdx.service"
		unit=yes
	fi
	case $(kind) in
	procd)
		mkdir -p "$etc/rc.d"
		ln -sf ../init.d/posdx "$etc/rc.d/S95posdx"
		ln -sf ../init.d/posdx "$etc/rc.d/K10posdx"
		return
		;;
	openrc)
		mkdir -p "$etc/runlevels/default"
		ln -sf /etc/init.d/posdx "$etc/runlevels/default/posdx"
		return
		;;
	esac
	if [ -z "$root" ] && command -v update-rc.d >/dev/null 2>&1; then
		update-rc.d posdx defaults >/dev/null 2>&1 && return
	fi
	if [ -d "$etc/rc2.d" ]; then
		for n in 2 3 4 5; do [ ! -d "$etc/rc$n.d" ] || ln -sf ../init.d/posdx "$etc/rc$n.d/S95posdx"; done
		for n in 0 1 6; do [ ! -d "$etc/rc$n.d" ] || ln -sf ../init.d/posdx "$etc/rc$n.d/K05posdx"; done
	elif [ -d "$etc/rcS.d" ]; then
		ln -sf ../init.d/posdx "$etc/rcS.d/S95posdx"
	elif grep -q 'init\.d/S' "$etc/init.d/rcS" 2>/dev/null; then
		ln -sf posdx "$etc/init.d/S95posdx"
	elif [ $unit = yes ]; then
		:
	elif [ -f "$etc/inittab" ]; then
		say "要在每次开机时启动，请在 /etc/inittab 中加上这一行：  ::once:/etc/init.d/posdx start" "to start it at every boot add this line to /etc/inittab:  ::once:/etc/init.d/posdx start"
	elif [ -f "$etc/init.d/rcS" ]; then
		say "要在每次开机时启动，请在 /etc/init.d/rcS 中加上这一行：  /etc/init.d/posdx start" "to start it at every boot add this line to /etc/init.d/rcS:  /etc/init.d/posdx start"
	else
		say "要在每次开机时启动，请让第一个进程运行：  /etc/init.d/posdx start" "to start it at every boot let the first process run:  /etc/init.d/posdx start"
	fi
}

# What a power cut broke off is finished first: there is always a program.
recover() { # other copies of the program to take if that before is not there
	rm -f "$program.new"
	[ ! -x "$program" ] || return 0
	for copy in "$before.gz" "$before" "$@"; do
		[ -f "$copy" ] || continue
		case $copy in
		*.gz) gunzip -c "$copy" >"$program.new" && chmod 755 "$program.new" || continue ;;
		*) ln "$copy" "$program.new" 2>/dev/null || cp -p "$copy" "$program.new" || continue ;;
		esac
		sync && mv "$program.new" "$program" && sync || continue
		note "程序缺失：已从 $copy 恢复" "the program was missing: restored from $copy"
		return 0
	done
	return 1
}
proven() {
	rm -f "$pending" "$before" "$before.gz" "$taken"
	sync
}
# The program before comes back. The caller starts it.
take_back() { # why
	[ -f "$pending" ] && [ ! -f "$taken" ] && { [ -f "$before" ] || [ -f "$before.gz" ]; } || return 1
	echo "$1" >"$taken" || :
	if [ -f "$before.gz" ]; then
		# Both do not fit, and its blocks come free when nothing runs it any more. Missing for a moment, it is restored by
		# recover at the next start if this is cut off.
		if [ -n "${MAINPID:-}" ]; then kill -9 "$MAINPID" 2>/dev/null || :; elif running; then service stop || :; fi
		rm -f "$program"
		recover || return 1
	else
		mv "$before" "$program"
	fi
	sync
	rm -f "$pending" "$before" "$before.gz"
	sync
	note "新程序已撤回：$1" "the new program was taken back: $1"
}
boot() {
	recover "$lib/posdx" || return 1
	[ -f "$pending" ] || return 0
	read -r version tries <"$pending" || tries=0
	if [ "${tries:-0}" -ge 3 ]; then
		take_back "$(said "$version 启动了 $tries 次，始终不正常" "$version was started $tries times and never became well")"
	else
		echo "$version $((${tries:-0} + 1))" >"$pending.new" && mv "$pending.new" "$pending"
	fi
}
prove() {
	[ -f "$pending" ] || return 0
	if why=$("$program" selfcheck --config "$config" --live "$bound" 2>&1); then
		proven
		return 0
	fi
	take_back "$why" || return 0
	if [ "$(kind)" = systemd ]; then systemctl --no-block restart posdx || :; else service restart </dev/null || :; fi
	return 1
}
# A supervisor asks when the program ended badly: 0 says that there is another one now, start it.
ended() {
	[ "${SERVICE_RESULT:-failed}" != success ] || return 1
	take_back "$(said "还没有正常就退出了：${EXIT_STATUS:-${1:-出错}}" "it ended with ${EXIT_STATUS:-${1:-an error}} before it was well")" || return 1
	# Where the supervisor would leave it at that, as after a wrong configuration.
	[ "$(kind)" != systemd ] || systemctl --no-block restart posdx || :
}

# Puts the new program into $program.new, or decides that it must replace the old one in place. All copies that exist at
# once are counted.
prepare() {
	how=beside
	if [ -f "$program" ] && cmp -s "$from/posdx" "$program"; then
		how=same
		return
	fi
	size=$(kilobytes "$from/posdx")
	free=$(free "$root/usr/bin")
	if [ "$from" = "$lib" ] && ln "$from/posdx" "$program.new" 2>/dev/null; then
		return # a second name takes no room
	fi
	if [ -z "$free" ] || [ "$free" -ge $((size + margin)) ]; then
		cp "$from/posdx" "$program.new" && chmod 755 "$program.new" && sync || die "无法写入 $program：存储是否已满或只读？正在运行的没有改动" "$program cannot be written: is the disk full or read-only? Nothing that runs was changed"
		return
	fi
	[ -f "$program" ] || die "$root/usr/bin 剩余 $free kB，需要 $((size + margin)) kB" "$root/usr/bin has $free kB free, $((size + margin)) are needed"
	packed=$(($(gzip -c "$program" | wc -c) / 1024 + 1))
	need=$((size + margin - $(kilobytes "$program") + packed))
	[ $need -ge $((packed + 64)) ] || need=$((packed + 64))
	[ "$free" -ge $need ] || die "$root/usr/bin 剩余 $free kB：需要 $((size + margin)) kB，把旧程序压缩后需要 $need kB。旧程序继续运行" "$root/usr/bin has $free kB free: $((size + margin)) are needed, or $need to pack the program before. The old one runs on"
	[ -f "$pending" ] || rm -f "$before" # of an installation that ended early; as a second name it would hold the blocks
	# shellcheck disable=SC2012 # the count of names is all that is read
	[ "$(ls -l "$program" | awk '{print $2}')" = 1 ] || die "$root/usr/bin 剩余 $free kB，需要 $((size + margin)) kB。旧程序继续运行" "$root/usr/bin has $free kB free, $((size + margin)) are needed. The old one runs on"
	how=inplace
}
# Whether anything still runs the program: its blocks would not come free.
held() {
	for p in /proc/[0-9]*; do
		case $(readlink "$p/exe" 2>/dev/null) in "$program" | "$program (deleted)") return 0 ;; esac
	done
	return 1
}
# A program that was never proven is nothing to go back to: what was kept for it stays.
kept() { [ -f "$pending" ] && { [ -f "$before" ] || [ -f "$before.gz" ]; }; }
switch() {
	rm -f "$taken"
	case $how in
	same) return ;;
	beside)
		if [ -f "$program" ]; then
			kept || { rm -f "$before.gz" "$before" && { ln "$program" "$before" 2>/dev/null || cp -p "$program" "$before"; }; } ||
				die "放不下旧程序的备份。旧程序继续运行" "no room to keep the program before. It runs on"
			mark
		fi
		mv "$program.new" "$program"
		;;
	inplace)
		kept || { gzip -c "$program" >"$before.gz.new" && gunzip -c "$before.gz.new" | cmp -s - "$program" && sync && mv "$before.gz.new" "$before.gz"; } ||
			{ rm -f "$before.gz.new"; die "放不下压缩后的旧程序。旧程序继续运行" "no room to pack the program before. It runs on"; }
		mark
		! running || service stop || :
		if held; then
			rm -f "$pending" "$before.gz"
			[ $was = no ] || service start </dev/null || :
			die "放不下两个程序，而中继还在运行旧程序：请先停止它。什么都没有改动" "no room for two programs, and a relay still runs the old one: stop it first. Nothing was changed"
		fi
		rm -f "$program"
		if ! { cp "$from/posdx" "$program.new" && chmod 755 "$program.new" && sync && mv "$program.new" "$program"; }; then
			rm -f "$program.new"
			take_back "$(said "放不下" "it did not fit")" || :
			[ $was = no ] || service start </dev/null || :
			die "无法写入 $program。旧程序已恢复" "$program could not be written. The old one is back"
		fi
		;;
	esac
	sync
}
mark() {
	sync
	echo "${version:-new} 0" >"$pending.new" && sync && mv "$pending.new" "$pending" || die "无法写入 $lib。旧程序继续运行" "$lib cannot be written. The old program runs on"
	sync
}

# Which configuration the program would run with is its own to say.
configured() {
	"$program" config check "$config" >/dev/null || [ $? = 4 ] # 4: it starts, and something in it does not work
}
write_first() {
	cp "$from/first.toml" "$config.new"
	sed -i "s#^state_dir = .*#state_dir = \"$state\"#" "$config.new"
	[ -d "$root/run" ] || printf '\n[hook]\nsocket = "/var/run/posdx/hook.sock"\n' >>"$config.new"
	chown "0:$gid" "$config.new"
	chmod 640 "$config.new"
	sync
	mv "$config.new" "$config"
}

install() {
	start=yes
	[ "${1:-}" = --no-start ] && start=no
	[ -z "$root" ] || start=no
	[ "$(id -u)" = 0 ] || die "需要 root 权限" "must be root"
	if command -v sha256sum >/dev/null 2>&1; then
		(cd "$from" && sha256sum -c SHA256SUMS >/dev/null 2>&1) || die "安装包已损坏：与 SHA256SUMS 不符，请重新复制。什么都没有改动" "the package is damaged: SHA256SUMS does not match; copy it again. Nothing was changed"
	fi
	# A wrong build ends here with an illegal instruction, before anything is replaced.
	version=
	if [ -z "$root" ]; then
		chmod 755 "$from/posdx"
		version=$("$from/posdx" version) || die "这个版本不能在这里运行：请换 armv5、armv6、armv7、arm64 中的另一个，或解压到允许运行程序的地方。什么都没有改动" "this build does not run here: take another of armv5, armv6, armv7, arm64, or unpack it where programs may run. Nothing was changed"
		version=$(echo "$version" | awk '{print $2}')
	fi
	mkdir -p "$root/usr/bin" "$lib" "$etc/posdx/conf.d" "$etc/init.d" || die "无法写入 $root/usr 或 $root/etc：是否只读？" "$root/usr or $root/etc cannot be written: is it read-only?"
	[ "$(readlink "$root/var" 2>/dev/null)" != tmp ] && [ "$(readlink "$root/var" 2>/dev/null)" != /tmp ] || state=/etc/posdx/state # or it would be lost at every start
	mkdir -p "$root$state"
	recover || :
	fresh=yes
	[ ! -f "$program" ] || fresh=no
	if [ -z "$root" ] && [ -f "$config" ]; then
		# One that nobody has written a name into yet runs nowhere and stops no upgrade.
		"$from/posdx" selfcheck --config "$config" >/dev/null || grep -q '= *"change-me"' "$config" ||
			die "posdx $version 不能接替：请先解决上面指出的问题，再运行 $again。什么都没有改动$([ $fresh = yes ] || echo '，旧程序继续运行')" "posdx $version cannot take over: put right what is named above, then run $again. Nothing was changed$([ $fresh = yes ] || echo ', the old program runs on')"
	fi
	was=no
	! running || was=yes
	prepare

	account
	gid=$(id_of group)
	[ -f "$config" ] || write_first
	chown "0:$gid" "$etc/posdx/conf.d"
	chmod 750 "$etc/posdx/conf.d"
	[ $fresh = no ] || { chown "0:$gid" "$config" && chmod 640 "$config"; }
	chown "$(id_of passwd):$gid" "$root$state"
	chmod 700 "$root$state"
	[ "$by" != tar ] || for f in setup posdx.init posdx.procd posdx.openrc posdx.service posdx-relay@.service posdx.rules first.toml posdx.toml.example licences.txt.gz SHA256SUMS; do
		case $f in setup) mode=755 ;; *) mode=644 ;; esac
		put $mode "$from/$f" "$lib/$f"
	done
	put 644 "$from/posdx.toml.example" "$etc/posdx/posdx.toml.example"
	case $(kind) in
	procd) put 755 "$from/posdx.procd" "$etc/init.d/posdx" ;;
	openrc) put 755 "$from/posdx.openrc" "$etc/init.d/posdx" ;;
	*) put 755 "$from/posdx.init" "$etc/init.d/posdx" ;;
	esac
	if [ -d "$units" ]; then
		put 644 "$from/posdx.service" "$units/posdx.service"
		put 644 "$from/posdx-relay@.service" "$units/posdx-relay@.service"
		[ "$(kind)" != systemd ] || systemctl daemon-reload || :
	fi
	if [ -d "$etc/udev/rules.d" ]; then
		put 644 "$from/posdx.rules" "$etc/udev/rules.d/01-posdx.rules"
		rm -f "$etc/udev/rules.d/60-posdx.rules" # where they were once, and overruled others
		[ -n "$root" ] || ! command -v udevadm >/dev/null 2>&1 || udevadm control --reload >/dev/null 2>&1 || :
	fi

	if [ $fresh = yes ] && [ -f "$etc/mdev.conf" ] && ! grep -q '^tty.*dialout' "$etc/mdev.conf"; then
		say "要使用串口，请在 /etc/mdev.conf 中加上这一行：  tty([A-Z]+|mxc)[0-9]+ root:dialout 660" "for serial ports add this line to /etc/mdev.conf:  tty([A-Z]+|mxc)[0-9]+ root:dialout 660"
	fi

	switch
	[ $fresh = no ] || at_boot
	starting="/etc/init.d/posdx start"
	[ "$(kind)" != systemd ] || starting="systemctl start posdx"
	if [ $start = no ]; then
		say "已安装 posdx ${version:-到 $root}" "installed posdx ${version:-into $root}"
	elif ! configured; then
		say "已安装 posdx $version" "installed posdx $version"
		say "下一步：把 estate 和 terminal 写入 /etc/posdx/posdx.toml（同一目录的 posdx.toml.example 列出了所有的键），然后运行" "next: write estate and terminal into /etc/posdx/posdx.toml (posdx.toml.example there has every key), then"
		echo "posdx setup:       posdx config check /etc/posdx/posdx.toml && $starting"
	elif [ $was = yes ] || [ $fresh = yes ]; then
		service restart </dev/null || [ -f "$taken" ] || [ -f "$pending" ] || die "posdx 无法启动" "posdx does not start"
		prove || :
		[ $fresh = no ] || "$program" selfcheck --config "$config" --live "$bound" >/dev/null || die "posdx 已启动但不正常，见上面" "posdx was started and is not well, see above"
		[ ! -f "$taken" ] || die "posdx $version 已撤回：$(cat "$taken")" "posdx $version was taken back: $(cat "$taken")"
		say "已安装 posdx $version，正在运行" "installed posdx $version, it runs"
	else
		say "已安装 posdx $version；它原来没有运行，所以没有启动：  $starting" "installed posdx $version; it did not run before and was not started:  $starting"
	fi
}

remove() {
	[ "$(id -u)" = 0 ] || die "需要 root 权限" "must be root"
	if [ -z "$root" ]; then
		if [ "$(kind)" = systemd ]; then
			systemctl disable --now posdx >/dev/null 2>&1 || :
			systemctl stop 'posdx-relay@*' >/dev/null 2>&1 || :
		elif [ -x "$etc/init.d/posdx" ]; then
			"$etc/init.d/posdx" stop >/dev/null 2>&1 || :
		fi
	fi
	rm -f "$program" "$program.new" "$before" "$before.gz" "$before.gz.new" "$pending" "$taken" "$etc/posdx/posdx.toml.example" \
		"$units/posdx.service" "$units/posdx-relay@.service" "$etc/systemd/system/multi-user.target.wants/posdx.service" \
		"$etc/udev/rules.d/01-posdx.rules" "$etc/udev/rules.d/60-posdx.rules" "$etc/init.d/posdx" "$etc/init.d/S95posdx" "$etc/runlevels/default/posdx" \
		"$etc"/rc?.d/S??posdx "$etc"/rc?.d/K??posdx "$etc"/rc.d/S??posdx "$etc"/rc.d/K??posdx
	[ "$by" != tar ] || rm -rf "$lib"
	[ "$(kind)" != systemd ] || systemctl daemon-reload || :
	[ "${1:-}" != --purge ] || purge
	sync
}
purge() {
	rm -rf "$etc/posdx" "$root$state"
	forget_account
}

# What the packages' own scripts call, as their managers call them.
maintain() { # packager, script, kB of the program, then what the manager says
	by=$1 script=$2 size=$3
	shift 3
	case $by in
	deb) again="dpkg --configure -a" ;;
	ipk) again="opkg configure posdx" ;;
	apk) again="apk fix posdx" ;;
	esac
	from=$lib
	case $by-$script-${1:-} in
	deb-preinst-install | deb-preinst-upgrade | ipk-preinst-* | apk-preinst-*)
		free=$(free "$root/usr")
		[ -z "$free" ] || [ "$free" -ge $((size + margin)) ] || die "$root/usr 剩余 $free kB，需要 $((size + margin)) kB。什么都没有改动" "$root/usr has $free kB free, $((size + margin)) are needed. Nothing was changed"
		# Packages before this one owned the program: their manager removes it before ours is in its place.
		[ -f "$pending" ] || [ ! -f "$program" ] || { mkdir -p "$lib" && { ln -f "$program" "$before" 2>/dev/null || :; }; }
		;;
	deb-postinst-configure | deb-postinst-abort-remove | ipk-postinst-* | apk-postinst-*) install ;;
	ipk-prerm-upgrade) ;;
	deb-prerm-remove | apk-prerm-*) remove ;;
	ipk-prerm-*) [ "${PKG_UPGRADE:-0}" = 1 ] || remove ;;
	deb-postrm-purge) purge ;;
	esac
}

main() {
	from=$(cd "$(dirname "$0")" && pwd)
	case ${1:-} in
	install) shift; install "$@" ;;
	remove) shift; remove "$@" ;;
	boot) boot ;;
	prove) prove ;;
	ended) shift; ended "$@" ;;
	*)
		said "用法：$0 install [--no-start] | remove [--purge]      （DESTDIR=/other/root 用于映像）" "usage: $0 install [--no-start] | remove [--purge]      (DESTDIR=/other/root for an image)" >&2
		exit 2
		;;
	esac
}
main "$@"
