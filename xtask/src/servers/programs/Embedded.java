import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import org.apache.catalina.startup.Tomcat;

/** Tomcat, with a servlet; it never closes a connection by itself. */
public class Embedded {
    public static void main(String[] words) throws Exception {
        var tomcat = new Tomcat();
        tomcat.setBaseDir("tomcat");
        tomcat.setPort(Integer.parseInt(System.getenv("SERVER_PORT")));
        var connector = tomcat.getConnector();
        connector.setProperty("address", "127.0.0.1");
        connector.setProperty("maxKeepAliveRequests", "-1");
        var context = tomcat.addContext("", null);
        Tomcat.addServlet(context, "ok", new HttpServlet() {
            @Override
            protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
                response.setContentLength(2);
                response.getOutputStream().write("ok".getBytes());
            }
        });
        context.addServletMappingDecoded("/", "ok");
        tomcat.start();
        tomcat.getServer().await();
    }
}
