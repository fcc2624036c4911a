package weatherglass;

import java.util.Map;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

import org.apache.spark.sql.streaming.StreamingQueryListener;

/**
 * Queue of the progress events of the streaming queries. A listener in Python looks up some fifty classes by name for
 * each batch, which took a sixth of the job's CPU time; this queue returns one string per event.
 */
public final class QueryEvents extends StreamingQueryListener {
    private final BlockingQueue<String> events = new LinkedBlockingQueue<>();
    private final Map<UUID, String> names = new ConcurrentHashMap<>();

    /**
     * The next event, or null if none arrives within the timeout: the progress of a batch as JSON, or only the name of
     * a query that is idle, since its trigger found no new data.
     */
    public String next(long milliseconds) throws InterruptedException {
        return events.poll(milliseconds, TimeUnit.MILLISECONDS);
    }

    @Override
    public void onQueryStarted(QueryStartedEvent event) {
        names.put(event.id(), event.name());
    }

    @Override
    public void onQueryProgress(QueryProgressEvent event) {
        events.add(event.progress().json());
    }

    @Override
    public void onQueryIdle(QueryIdleEvent event) {
        events.add(names.get(event.id()));
    }

    @Override
    public void onQueryTerminated(QueryTerminatedEvent event) {
        // The main loop checks the query itself, which also has the exception.
    }
}
