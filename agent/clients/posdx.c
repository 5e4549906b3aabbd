/* See posdx.h. With -DPOSDX_MAIN it is a program:
 *
 *   cc -DPOSDX_MAIN -o posdx-code posdx.c && ./posdx-code 96 host 000123
 *   ./posdx-code verdict 00007c-000000012f
 *
 * Exit 0: there is a verdict; 1: posdx is not there, does not answer or refuses; 2: wrong usage; 3: taken in and not explained yet:
 * do not tell it again, ask for the verdict by the id that was printed.
 */
#include "posdx.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000L + t.tv_nsec / 1000000;
}

int posdx_ask(const char *socket_path, const char *request, char *answer, size_t size, int timeout_ms)
{
	struct sockaddr_un to;
	long end = now_ms() + timeout_ms;
	size_t got = 0, len = strlen(request), sent = 0;
	int err = 0, fd;

	if (size < 2) {
		errno = EINVAL;
		return -1;
	}
	answer[0] = 0;
	memset(&to, 0, sizeof to);
	to.sun_family = AF_UNIX;
	if (strlen(socket_path) >= sizeof to.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(to.sun_path, socket_path);
	/* Not blocking: a daemon that takes nobody in answers EAGAIN, and then the sale goes on without it. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		err = errno;
	while (!err && !(got && answer[got - 1] == '\n')) {
		struct pollfd p;
		long left = end - now_ms();
		ssize_t n;

		p.fd = fd;
		p.events = sent < len ? POLLOUT : POLLIN;
		if (left <= 0 || (n = poll(&p, 1, (int)left)) == 0) {
			err = ETIMEDOUT;
			break;
		}
		if (n < 0) {
			err = errno == EINTR ? 0 : errno;
			continue;
		}
		if (sent < len)
			n = send(fd, request + sent, len - sent, MSG_NOSIGNAL);
		else
			n = recv(fd, answer + got, size - 1 - got, 0);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			err = errno;
		else if (n == 0)
			err = sent < len || got + 1 < size ? ECONNRESET : EMSGSIZE;
		else if (n > 0 && sent < len)
			sent += (size_t)n;
		else if (n > 0)
			got += (size_t)n;
	}
	close(fd);
	answer[got] = 0;
	errno = err;
	return err ? -1 : 0;
}

/* is_word keeps quotes and backslashes out of the JSON that is written here. */
static int is_word(const char *s)
{
	return s && strspn(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-+:") == strlen(s);
}

int posdx_code(const char *socket_path, const char *code, const char *origin, const char *stan, char *answer, size_t size,
	       int timeout_ms)
{
	char request[512];
	int n;

	if (!is_word(code) || !is_word(origin) || !is_word(stan)) {
		errno = EINVAL;
		return -1;
	}
	n = snprintf(request, sizeof request,
		     "{\"type\":\"code\",\"code\":\"%s\",\"origin\":\"%s\",\"txn\":{\"stan\":\"%s\"},\"wait\":\"first\"}\n", code,
		     origin, stan);
	if (n < 0 || (size_t)n >= sizeof request) {
		errno = EINVAL;
		return -1;
	}
	return posdx_ask(socket_path, request, answer, size, timeout_ms);
}

int posdx_verdict(const char *socket_path, const char *id, char *answer, size_t size, int timeout_ms)
{
	char request[128];

	if (!is_word(id) || strlen(id) > 32) {
		errno = EINVAL;
		return -1;
	}
	snprintf(request, sizeof request, "{\"type\":\"verdict\",\"id\":\"%s\"}\n", id);
	return posdx_ask(socket_path, request, answer, size, timeout_ms);
}

int posdx_txn(const char *socket_path, const char *phase, const char *result, int timeout_ms)
{
	char request[128], answer[1024];

	if (!is_word(phase) || (result && !is_word(result)) || strlen(phase) + (result ? strlen(result) : 0) > 32) {
		errno = EINVAL;
		return -1;
	}
	snprintf(request, sizeof request, result ? "{\"type\":\"txn\",\"phase\":\"%s\",\"result\":\"%s\"}\n" : "{\"type\":\"txn\",\"phase\":\"%s\"}\n",
		 phase, result);
	if (posdx_ask(socket_path, request, answer, sizeof answer, timeout_ms) < 0)
		return -1;
	if (strstr(answer, "\"result\":\"accepted\""))
		return 0;
	errno = EPROTO;
	return -1;
}

int posdx_text(const char *answer, const char *name, char *text, size_t size)
{
	char mark[64];
	const char *p;
	size_t n = 0;

	/* Inside of a text every quote has a backslash before it, so this can only be a member's name. */
	if (size == 0 || snprintf(mark, sizeof mark, "\"%s\":\"", name) >= (int)sizeof mark || !(p = strstr(answer, mark)))
		return -1;
	for (p += strlen(mark); *p && *p != '"' && n + 3 < size; p++) {
		unsigned c;

		if (*p != '\\') {
			text[n++] = *p;
			continue;
		}
		if (*++p == 'u' && sscanf(p + 1, "%4x", &c) == 1) {
			p += 4;
			if (c < 0x80) {
				text[n++] = (char)c;
			} else if (c < 0x800) {
				text[n++] = (char)(0xc0 | c >> 6);
				text[n++] = (char)(0x80 | (c & 0x3f));
			} else {
				text[n++] = (char)(0xe0 | c >> 12);
				text[n++] = (char)(0x80 | (c >> 6 & 0x3f));
				text[n++] = (char)(0x80 | (c & 0x3f));
			}
		} else if (*p == 'n' || *p == 't' || *p == 'r') {
			text[n++] = ' ';
		} else if (*p) {
			text[n++] = *p;
		} else {
			break;
		}
	}
	text[n] = 0;
	return *p == '"' ? 0 : -1;
}

#ifdef POSDX_MAIN
int main(int argc, char **argv)
{
	const char *path = getenv("POSDX_SOCKET");
	char answer[8192], word[64];

	int again = argc == 3 && !strcmp(argv[1], "verdict");

	if (argc != 4 && !again) {
		fprintf(stderr, "usage: %s CODE host|terminal|cashier|unknown STAN\n       %s verdict ID\n", argv[0], argv[0]);
		return 2;
	}
	if (!path)
		path = POSDX_SOCKET;
	if ((again ? posdx_verdict(path, argv[2], answer, sizeof answer, POSDX_TIMEOUT_MS) :
		     posdx_code(path, argv[1], argv[2], argv[3], answer, sizeof answer, POSDX_TIMEOUT_MS)) < 0) {
		perror("posdx");
		return 1;
	}
	fputs(answer, stdout);
	if (posdx_text(answer, "retry", word, sizeof word) == 0)
		return 0;
	return posdx_text(answer, "result", word, sizeof word) == 0 && !strcmp(word, "accepted") ? 3 : 1;
}
#endif
