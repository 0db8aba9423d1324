# The JDK's own HTTP server, with threads, under curl.
cat >Server.java <<'PROGRAM'
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;
public class Server {
    public static void main(String[] words) throws Exception {
        var address = new InetSocketAddress("127.0.0.1", Integer.parseInt(words[0]));
        var server = HttpServer.create(address, 0);
        server.createContext("/", exchange -> {
            var body = exchange.getRequestBody().readAllBytes();
            var answer = (exchange.getRequestURI() + " " + body.length + "\n").getBytes();
            exchange.sendResponseHeaders(body.length == 3 ? 404 : 200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/end", exchange -> System.exit(6));
        server.start();
    }
}
PROGRAM
# The compiler that compiles fast is enough for so short a life.
java -XX:TieredStopAtLevel=1 Server.java "$PORT" & server=$!
for i in $(seq 1 1000); do curl -s -o first "http://127.0.0.1:$PORT/first" && break; sleep 0.05; done
cat first
head -c 100000 /dev/zero | tr '\0' a >body
for i in $(seq 1 10); do curl -s "http://127.0.0.1:$PORT/admin?$i" "http://127.0.0.1:$PORT/again?$i"; done
curl -s --data-binary @body "http://127.0.0.1:$PORT/body"
curl -s -d abc -w '%{http_code}\n' "http://127.0.0.1:$PORT/missing"
curl -s "http://127.0.0.1:$PORT/end" || true
wait "$server" || echo "java: $?"
