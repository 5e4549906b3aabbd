/* Tells posdx a response code and prints its first verdict, one JSON object on a line.
 *
 *   cc -o hook hook.c && ./hook 96 host 000123
 *
 * hook() waits at most timeout_ms in all and never raises SIGPIPE: a payment application may call it in the middle of
 * its work. It knows nothing of JSON but how to write it; of the answer the application picks out what it shows.
 */
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

/* hook sends one request line and reads one answer line. It returns 0, or -1 with errno set. */
int hook(const char *path, const char *request, char *answer, size_t size, int timeout_ms)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	long end = now_ms() + timeout_ms;
	size_t got = 0, len = strlen(request), sent = 0;
	int err = 0, fd;

	if (strlen(path) >= sizeof to.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(to.sun_path, path);
	/* Not blocking: a daemon that takes nobody in answers EAGAIN, and then the sale goes on without it. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		err = errno;
	while (!err && !(got && answer[got - 1] == '\n')) {
		struct pollfd p = {.fd = fd, .events = sent < len ? POLLOUT : POLLIN};
		long left = end - now_ms();
		ssize_t n;

		if (left <= 0 || poll(&p, 1, (int)left) == 0) {
			err = ETIMEDOUT;
			break;
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

int main(int argc, char **argv)
{
	const char *path = getenv("POSDX_SOCKET");
	char request[512], answer[8192];

	if (argc != 4) {
		fprintf(stderr, "usage: hook CODE host|terminal|cashier|unknown STAN\n");
		return 2;
	}
	/* The three words hold no quotes and no backslashes; others would have to be escaped. */
	snprintf(request, sizeof request,
		 "{\"type\":\"code\",\"code\":\"%s\",\"origin\":\"%s\",\"txn\":{\"stan\":\"%s\"},\"wait\":\"first\"}\n",
		 argv[1], argv[2], argv[3]);
	if (hook(path ? path : "/run/posdx/hook.sock", request, answer, sizeof answer, 1500) < 0) {
		perror("posdx hook");
		return 1;
	}
	fputs(answer, stdout);
	return strstr(answer, "\"result\":\"first\"") ? 0 : 1;
}
