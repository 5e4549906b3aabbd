/* Drives a simulated reader through libccid's own serial driver, without pcscd: prints one line per call.
 * usage: ccidtwin LIBRARY DEVICE:NAME
 * Reads commands from its input, one a line: presence, up, down; ends with the input. */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What pcscd gives to its drivers. */
void log_msg(const int priority, const char *format, ...)
{
	va_list a;
	va_start(a, format);
	if (priority >= 2) { /* errors and worse */
		printf("log ");
		vprintf(format, a);
		printf("\n");
	}
	va_end(a);
}

void log_xxd(const int priority, const char *message, const unsigned char *bytes, const int n)
{
	(void)priority, (void)message, (void)bytes, (void)n;
}

/* ifdhandler.h of PCSC-lite 1.9 */
enum { POWER_UP = 500, POWER_DOWN = 501 };

static void *sym(void *lib, const char *name)
{
	void *f = dlsym(lib, name);
	if (!f) {
		fprintf(stderr, "no %s\n", name);
		exit(1);
	}
	return f;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	void *lib = dlopen(argv[1], RTLD_NOW);
	if (!lib) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	long (*create)(unsigned long, char *) = sym(lib, "IFDHCreateChannelByName");
	long (*presence)(unsigned long) = sym(lib, "IFDHICCPresence");
	long (*power)(unsigned long, unsigned long, unsigned char *, unsigned long *) = sym(lib, "IFDHPowerICC");
	long (*end)(unsigned long) = sym(lib, "IFDHCloseChannel");

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("create %ld\n", create(0, argv[2]));
	char line[64];
	while (fgets(line, sizeof line, stdin)) {
		unsigned char atr[64];
		unsigned long n = sizeof atr;
		if (!strcmp(line, "presence\n")) {
			printf("presence %ld\n", presence(0));
		} else {
			long rv = power(0, strcmp(line, "up\n") ? POWER_DOWN : POWER_UP, atr, &n);
			printf("power %ld ", rv);
			for (unsigned long i = 0; i < n && rv == 0; i++)
				printf("%02X", atr[i]);
			printf("\n");
		}
	}
	printf("close %ld\n", end(0));
	return 0;
}
