package weatherglass;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.streaming.ExpiredTimerInfo;
import org.apache.spark.sql.streaming.MapState;
import org.apache.spark.sql.streaming.OutputMode;
import org.apache.spark.sql.streaming.StatefulProcessor;
import org.apache.spark.sql.streaming.TTLConfig;
import org.apache.spark.sql.streaming.TimeMode;
import org.apache.spark.sql.streaming.TimerValues;

import scala.collection.Iterator;
import scala.jdk.javaapi.CollectionConverters;

/**
 * Sliding windows of one station in a stream. The state holds the panes of all open windows: their readings, to detect
 * duplicates and apply revisions, and their summaries, so that computing a window does not read the readings.
 */
final class WindowProcessor extends StatefulProcessor<String, Row, Row> {
    private final Windows windows;
    private transient MapState<Long, byte[]> panes;
    private transient MapState<Long, byte[]> summaries;

    WindowProcessor(Windows windows) {
        this.windows = windows;
    }

    @Override
    public void init(OutputMode outputMode, TimeMode timeMode) {
        panes = getHandle().getMapState("panes", Encoders.LONG(), Encoders.BINARY(), TTLConfig.NONE());
        summaries = getHandle().getMapState("summaries", Encoders.LONG(), Encoders.BINARY(), TTLConfig.NONE());
    }

    @Override
    public Iterator<Row> handleInputRows(String station, Iterator<Row> rows, TimerValues timers) {
        long closed = windows.closed(timers.getCurrentWatermarkInMs());
        Map<Long, Pane> updatedPanes = new HashMap<>();
        Map<Long, Summary> changedSummaries = new HashMap<>();
        int late = 0;
        while (rows.hasNext()) {
            Row row = rows.next();
            Reading reading = Windows.reading(row);
            long start = windows.paneOf(reading);
            if (windows.lastEnd(start) <= closed) {
                late++;
            } else if (updatedPanes.computeIfAbsent(start, this::pane).add(reading, Windows.source(row))) {
                changedSummaries.put(start, Summary.NONE);
            }
        }
        changedSummaries.replaceAll((start, none) -> store(start, updatedPanes.get(start)));
        List<Row> output = new ArrayList<>(windows.windows(station, windows.endsOf(changedSummaries.keySet(), closed),
                start -> changedSummaries.computeIfAbsent(start, this::summary)));
        if (late > 0) {
            output.add(Windows.late(station, late));
        }
        return CollectionConverters.asScala(output.iterator());
    }

    /** Removes a pane when all its windows are closed. */
    @Override
    public Iterator<Row> handleExpiredTimer(String station, TimerValues timers, ExpiredTimerInfo timer) {
        long start = timer.getExpiryTimeInMs() * 1000 - windows.lastEnd(0);
        panes.removeKey(start);
        summaries.removeKey(start);
        return CollectionConverters.asScala(java.util.Collections.emptyIterator());
    }

    private Pane pane(long start) {
        byte[] encoded = panes.getValue(start);
        return encoded == null ? new Pane() : Pane.decoded(encoded);
    }

    private Summary summary(long start) {
        byte[] encoded = summaries.getValue(start);
        return encoded == null ? null : Summary.decoded(encoded);
    }

    private Summary store(long start, Pane pane) {
        Summary summary = Summary.of(pane, start);
        panes.updateValue(start, pane.encoded());
        summaries.updateValue(start, summary.encoded());
        getHandle().registerTimer(windows.lastEnd(start) / 1000);
        return summary;
    }
}
