import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.Proxy;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;

/**
 * A payment application's way to posdx over HTTP on the loopback, for Android and for Java from 8 on; nothing but the platform's own
 * classes. The daemon wants [hook] http and token_file. Call it from a thread that may wait.
 *
 * <p>Every call ends within about twice its timeout; what goes wrong is an IOException, and then the sale goes on without posdx. Never
 * give a card number, an amount or a name.
 */
public final class Posdx {
    /** Milliseconds to wait for a first verdict, and for all that is answered at once. */
    public static final int FIRST_MS = 1500;
    /** Milliseconds to wait for the final verdict. */
    public static final int FINAL_MS = 15500;

    private static final int MAX_ANSWER = 1 << 20;

    private final String address;
    private final String token;

    /** @param address where the daemon listens, such as 127.0.0.1:7379; @param token the line of its token file */
    public Posdx(String address, String token) {
        this.address = address;
        this.token = token.trim();
    }

    /**
     * Tells a response code as the application shows it, and who wrote it: host, terminal, cashier or unknown. On a busy terminal the
     * answer's result may be "accepted", with no verdict in it: the code is kept and is explained, so do not tell it again; verdict asks
     * for it later, by the answer's id.
     */
    public String code(String code, String origin, String stan) throws IOException {
        return ask("{\"type\":\"code\",\"code\":" + quote(code) + ",\"origin\":" + quote(origin) + ",\"txn\":{\"stan\":" + quote(stan)
                + "},\"wait\":\"first\",\"display\":20}", FIRST_MS);
    }

    /**
     * Asks for the verdict of a code by the id of an earlier answer; it counts nothing. The result is "final", "first" where the last
     * checks still run, or "accepted" where nothing is known yet: ask again a second later. An id that is not known is an IOException.
     */
    public String verdict(String id) throws IOException {
        return ask("{\"type\":\"verdict\",\"id\":" + quote(id) + ",\"display\":20}", FIRST_MS);
    }

    /** Tells a step of a sale: start, read, sent, answered or end; result is null or approved, declined, failed or cancelled. */
    public String txn(String phase, String result) throws IOException {
        return ask("{\"type\":\"txn\",\"phase\":" + quote(phase) + (result == null ? "" : ",\"result\":" + quote(result)) + "}", FIRST_MS);
    }

    /** Sends a request of the hook's protocol and returns the last answer to it, a JSON object. */
    public String ask(String json, int timeoutMs) throws IOException {
        long end = System.nanoTime() + 2000000L * timeoutMs;
        HttpURLConnection c = (HttpURLConnection) new URL("http://" + address + "/v1/hook").openConnection(Proxy.NO_PROXY);
        try {
            c.setConnectTimeout(timeoutMs);
            c.setReadTimeout(timeoutMs);
            c.setRequestMethod("POST");
            c.setDoOutput(true);
            c.setUseCaches(false);
            c.setInstanceFollowRedirects(false);
            c.setRequestProperty("Content-Type", "application/json");
            c.setRequestProperty("Authorization", "Bearer " + token);
            byte[] body = json.getBytes(StandardCharsets.UTF_8);
            c.setFixedLengthStreamingMode(body.length);
            try (OutputStream out = c.getOutputStream()) {
                out.write(body);
            }
            int status = c.getResponseCode();
            String answer = read(status < 400 ? c.getInputStream() : c.getErrorStream(), end);
            if (status >= 400) {
                throw new IOException("posdx answers " + status + ": " + text(answer, "why"));
            }
            return answer;
        } catch (IllegalArgumentException e) { // of an address or a token that cannot be sent
            throw new IOException("posdx: " + e.getMessage(), e);
        } finally {
            c.disconnect();
        }
    }

    /** A text of an answer, such as retry, say or handoff; null if there is none. An application that has a JSON library uses that. */
    public static String text(String answer, String name) {
        // Inside of a text every quote has a backslash before it, so this can only be a member's name.
        int at = answer.indexOf("\"" + name + "\":\"");
        if (at < 0) {
            return null;
        }
        StringBuilder b = new StringBuilder();
        for (int i = at + name.length() + 4; i < answer.length(); i++) {
            char c = answer.charAt(i);
            if (c == '"') {
                return b.toString();
            }
            if (c == '\\' && i + 1 < answer.length()) {
                c = answer.charAt(++i);
                if (c == 'u' && answer.substring(i + 1).matches("(?s)[0-9A-Fa-f]{4}.*")) {
                    c = (char) Integer.parseInt(answer.substring(i + 1, i + 5), 16);
                    i += 4;
                } else if (c == 'n' || c == 't' || c == 'r') {
                    c = ' ';
                }
            }
            b.append(c);
        }
        return null;
    }

    private static String quote(String s) {
        StringBuilder b = new StringBuilder("\"");
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            if (c < ' ' || c == '"' || c == '\\') {
                b.append(String.format("\\u%04x", (int) c));
            } else {
                b.append(c);
            }
        }
        return b.append('"').toString();
    }

    private static String read(InputStream in, long end) throws IOException {
        if (in == null) {
            return "";
        }
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        byte[] b = new byte[4096];
        for (int n; (n = in.read(b)) > 0; ) {
            all.write(b, 0, n);
            if (all.size() > MAX_ANSWER || System.nanoTime() - end > 0) {
                throw new IOException("posdx's answer does not end");
            }
        }
        return new String(all.toByteArray(), StandardCharsets.UTF_8);
    }

    /**
     * java Posdx CODE ORIGIN STAN, or java Posdx verdict ID, with POSDX_HTTP and POSDX_TOKEN_FILE in the environment. Exit 0: there is a
     * verdict; 1: posdx is not there, does not answer or refuses; 2: wrong usage; 3: taken in and not explained yet: do not tell it
     * again, ask for the verdict by the id that was printed.
     */
    public static void main(String[] args) {
        boolean again = args.length == 2 && args[0].equals("verdict");
        if (args.length != 3 && !again) {
            System.err.println("usage: java Posdx CODE host|terminal|cashier|unknown STAN\n       java Posdx verdict ID");
            System.exit(2);
        }
        if (System.getenv("POSDX_HTTP") == null || System.getenv("POSDX_TOKEN_FILE") == null) {
            System.err.println("posdx: set POSDX_HTTP (such as 127.0.0.1:7379) and POSDX_TOKEN_FILE");
            System.exit(2);
        }
        try {
            String token = new String(Files.readAllBytes(Paths.get(System.getenv("POSDX_TOKEN_FILE"))), StandardCharsets.US_ASCII);
            Posdx posdx = new Posdx(System.getenv("POSDX_HTTP"), token);
            String answer = again ? posdx.verdict(args[1]) : posdx.code(args[0], args[1], args[2]);
            System.out.println(answer);
            System.exit(text(answer, "retry") != null ? 0 : "accepted".equals(text(answer, "result")) ? 3 : 1);
        } catch (IOException e) {
            System.err.println("posdx: " + e.getMessage());
            System.exit(1);
        }
    }
}
