/* A payment application's way to posdx: one request line over its local socket, one answer line back.
 *
 * Every call ends within its timeout, raises no signal, and allocates nothing. What goes wrong is -1 with errno; then the sale
 * goes on without posdx. The protocol is in agent/internal/source/hook/README.md. Never give a card number, an amount or a name.
 */
#ifndef POSDX_H
#define POSDX_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define POSDX_SOCKET "/run/posdx/hook.sock"
#define POSDX_TIMEOUT_MS 1500 /* for a first verdict and for all that is answered at once; final: 15500 */

/* posdx_ask sends a request, one JSON object with a newline at its end, and reads the first answer line. Answers of up to 8 kB
 * are usual; one longer than size is EMSGSIZE. */
int posdx_ask(const char *socket_path, const char *request, char *answer, size_t size, int timeout_ms);

/* posdx_code tells a response code as the application shows it, with who wrote it ("host", "terminal", "cashier", "unknown") and
 * the trace number, and reads the first verdict. A word that holds anything but letters, digits and . _ - + : is EINVAL.
 *
 * On a busy terminal the answer may be {"result":"accepted","id":"...",...} with no verdict in it: the code is kept and is
 * explained, so do not tell it again. The sale goes on; posdx_verdict asks for the verdict later, by that id. */
int posdx_code(const char *socket_path, const char *code, const char *origin, const char *stan, char *answer, size_t size,
	       int timeout_ms);

/* posdx_verdict asks for the verdict of a code by the "id" of an earlier answer, in this run of the daemon or in one before; it
 * counts nothing. "result" is "final", "first" where the last checks still run, or "accepted" where nothing is known yet: ask again
 * a second later. An id that is not known, or not any more, is answered {"result":"error","field":"id",...}. */
int posdx_verdict(const char *socket_path, const char *id, char *answer, size_t size, int timeout_ms);

/* posdx_txn tells a step of a sale: "start", "read", "sent", "answered", "end"; result is NULL or one of "approved", "declined",
 * "failed", "cancelled". Between start and end posdx touches neither reader nor line. */
int posdx_txn(const char *socket_path, const char *phase, const char *result, int timeout_ms);

/* posdx_text copies a text of an answer, such as "retry", "say" or "handoff", in UTF-8. It returns -1 if there is none. */
int posdx_text(const char *answer, const char *name, char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
