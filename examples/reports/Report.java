import java.lang.management.ManagementFactory;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * Reports from inside a JVM: CPU, heap and threads, beside numbers of the application's own.
 *
 * <pre>ATHENA_SERVER=http://10.0.0.53:8053 java Report.java app01 [SECONDS]</pre>
 *
 * Run like this it reports for a pretended application. In your own:
 *
 * <pre>
 * Report report = new Report("app01", Duration.ofSeconds(2), () -> Map.of("queue", jobs.size()));
 * report.close();    // says farewell, when the application can no longer serve
 * </pre>
 *
 * ATHENA_KEY is the key that access.update_key asks for, if it does. Java 11 or later, and no library.
 */
public final class Report implements AutoCloseable {
    private final String server = env("ATHENA_SERVER", "http://127.0.0.1:8053").replaceAll("/+$", "");
    private final String key = env("ATHENA_KEY", "");
    private final String backend;
    private final Supplier<Map<String, ? extends Number>> statistics;
    private final HttpClient client = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(2))
            .build();
    // A daemon, so that it never keeps the process alive.
    private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(task -> {
        Thread thread = new Thread(task, "athena-reporter");
        thread.setDaemon(true);
        return thread;
    });
    private String failing;

    public Report(String backend, Duration every, Supplier<Map<String, ? extends Number>> statistics) {
        this.backend = backend;
        this.statistics = statistics;
        clock.scheduleAtFixedRate(() -> attempt(this::values), 0, every.toMillis(), TimeUnit.MILLISECONDS);
    }

    /** What the JVM says of itself, and what the application adds or says better. */
    private Map<String, String> values() {
        Map<String, String> values = new LinkedHashMap<>();
        var system = ManagementFactory.getOperatingSystemMXBean();
        // l: what the farm's formula looks at unless it says otherwise
        values.put("l", number(Math.max(0, system.getSystemLoadAverage())));
        if (system instanceof com.sun.management.OperatingSystemMXBean) {
            var cpu = ((com.sun.management.OperatingSystemMXBean) system).getProcessCpuLoad();
            values.put("u", number(Double.isFinite(cpu) ? Math.max(0, cpu) : 0));
        }
        var heap = ManagementFactory.getMemoryMXBean().getHeapMemoryUsage();
        values.put("heap", number(heap.getMax() > 0 ? (double) heap.getUsed() / heap.getMax() : 0));
        values.put("threads", number(ManagementFactory.getThreadMXBean().getThreadCount()));
        statistics.get().forEach((name, value) -> values.put(name, number(value.doubleValue())));
        return values;
    }

    /** Never throws into the application, and says only when reports begin to fail and when they are taken again. */
    private synchronized void attempt(Supplier<Map<String, String>> values) {
        String problem;
        try {
            problem = send(values.get());
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
            return;
        } catch (Exception error) {
            problem = error.toString();
        }
        if (problem != null && !problem.equals(failing)) {
            System.err.println("athena: reports to " + server + " fail: " + problem);
        } else if (problem == null && failing != null) {
            System.err.println("athena: reports to " + server + " are taken again");
        }
        failing = problem;
    }

    /** Sends one report; gives the reason if it is refused. */
    private String send(Map<String, String> values) throws Exception {
        StringBuilder query = new StringBuilder("h=").append(encode(backend));
        values.forEach((name, value) -> query.append(',').append(name).append('=').append(encode(value)));
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(server + "/ath/update/phys/?" + query))
                .POST(HttpRequest.BodyPublishers.noBody())
                // A late report is worth nothing.
                .timeout(Duration.ofSeconds(5));
        if (!key.isEmpty()) {
            request.header("Authorization", "Bearer " + key);
        }
        var response = client.send(request.build(), BodyHandlers.ofString());
        return response.statusCode() == 200 ? null : response.body().trim();
    }

    /** Stops, and says farewell: nobody is sent here any more, without waiting for expect_update. */
    @Override
    public void close() {
        clock.shutdown();
        attempt(() -> Map.of("i", "out"));
    }

    private static String number(double value) {
        return String.format(Locale.ROOT, "%.4f", value);
    }

    private static String encode(String text) {
        // A query string of Athena's has no plus for a space.
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }

    private static String env(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length < 1 || arguments.length > 2) {
            System.err.println("usage: java Report.java BACKEND [SECONDS]");
            System.exit(2);
        }
        double seconds = arguments.length == 2 ? Double.parseDouble(arguments[1]) : 2;
        Report report = new Report(arguments[0], Duration.ofMillis((long) (seconds * 1000)), () -> Map.of("queue", 3));
        Runtime.getRuntime().addShutdownHook(new Thread(report::close));
        Thread.currentThread().join();
    }
}
