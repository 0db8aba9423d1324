import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

/** The JDK's own HTTP server as system under test: answers "Hello World", on all addresses, with four threads. */
public class Server {
    public static void main(String[] words) throws Exception {
        var port = System.getenv().getOrDefault("SERVER_PORT", "8080");
        var server = HttpServer.create(new InetSocketAddress(Integer.parseInt(port)), 0);
        var answer = "Hello World".getBytes();
        server.createContext("/", exchange -> {
            exchange.getRequestBody().readAllBytes();
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.start();
    }
}
