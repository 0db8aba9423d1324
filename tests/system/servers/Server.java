import com.sun.net.httpserver.HttpServer;
import java.io.FileOutputStream;
import java.net.InetSocketAddress;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;

/** The JDK's HTTP server, with four threads; it logs a request before it answers. */
public class Server {
    public static void main(String[] words) throws Exception {
        var counts = new ConcurrentHashMap<Integer, Integer>();
        var log = new FileOutputStream(System.getenv("TRIAL_LOG"), true);
        var port = Integer.parseInt(System.getenv("SERVER_PORT"));
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        var answer = "ok".getBytes();
        server.createContext("/", exchange -> {
            var client = exchange.getRemoteAddress().getPort();
            var count = counts.merge(client, 1, Integer::sum);
            log.write(("R " + client + " " + count + "\n").getBytes());
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.start();
    }
}
