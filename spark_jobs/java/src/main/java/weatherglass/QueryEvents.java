package weatherglass;

import java.util.Map;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

import org.apache.spark.sql.streaming.StreamingQueryListener;

/**
 * What the queries say about themselves, on a queue. A listener in Python looks up some fifty classes by name for each
 * batch, which took a sixth of the job's CPU; here Python asks for one string.
 */
public final class QueryEvents extends StreamingQueryListener {
    private final BlockingQueue<String> events = new LinkedBlockingQueue<>();
    private final Map<UUID, String> names = new ConcurrentHashMap<>();

    /**
     * The next event, or null after so many milliseconds without one: a query's progress as JSON, or only the name of
     * a query that looked and found nothing new.
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
        // The loop sees it by the query itself, with its exception.
    }
}
