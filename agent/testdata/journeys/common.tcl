# What every journey begins with: picocom on the line, as a technician starts it, and words in the language of the console.
set timeout 30
set stty_init "rows 24 columns 80"
log_user 0
lassign $argv device lang
fconfigure stdout -encoding utf-8
set keys 0

proc say {zh en} {
	global lang
	if {$lang eq "zh"} {return $zh}
	return $en
}

# sees waits until the words come. What was before them is not looked at again.
proc sees {words} {
	global expect_out
	expect {
		-ex $words {}
		timeout {puts stderr "never came: $words"; exit 1}
		eof {puts stderr "the line ended before: $words"; exit 1}
	}
}

# press types keys, and counts them.
proc press {what} {
	global keys
	incr keys [string length $what]
	send -- $what
}

# The console asks what the terminal is: a Chinese character, and where the cursor is. picocom leaves the answer to the terminal
# that it runs in, which is this script.
proc answers {} {
	sees "\x1b\[6n"
	send -- "\x1b\[1;3R"
	sees "\x1b\[6n"
	send -- "\x1b\[24;80R"
}

# dial starts picocom and presses Enter when it is ready: it throws away what comes before.
proc dial {} {
	global device spawn_id
	uplevel #0 [list spawn -noecho picocom -b 9600 --noreset $device]
	set spawn_id [uplevel #0 {set spawn_id}]
	sees "Terminal ready"
	press "\r"
	answers
}

# arrives says how many keys it took.
proc arrives {} {
	global keys
	puts "keys $keys"
	exit 0
}
