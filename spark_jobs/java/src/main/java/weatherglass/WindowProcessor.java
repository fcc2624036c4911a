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
import org.apache.spark.sql.streaming.ValueState;

import scala.collection.Iterator;
import scala.jdk.javaapi.CollectionConverters;

/**
 * Sliding windows of one station in a stream. The state holds the time of the station's newest reading, which alone
 * decides which of its windows are closed, and the panes of the open windows: their readings, to detect duplicates and
 * apply revisions, and their summaries, so that computing a window does not read the readings.
 */
final class WindowProcessor extends StatefulProcessor<String, Row, Row> {
    private final Windows windows;
    private final long closed;
    private final long delay;
    private transient ValueState<Long> newest;
    private transient MapState<Long, byte[]> panes;
    private transient MapState<Long, byte[]> summaries;

    /**
     * @param closed windows that end at or before it are closed for every station, microseconds since 1970
     * @param delay a window is closed when a station's newest reading is this much after its end, microseconds
     */
    WindowProcessor(Windows windows, long closed, long delay) {
        this.windows = windows;
        this.closed = closed;
        this.delay = delay;
    }

    @Override
    public void init(OutputMode outputMode, TimeMode timeMode) {
        newest = getHandle().getValueState("newest", Encoders.LONG(), TTLConfig.NONE());
        panes = getHandle().getMapState("panes", Encoders.LONG(), Encoders.BINARY(), TTLConfig.NONE());
        summaries = getHandle().getMapState("summaries", Encoders.LONG(), Encoders.BINARY(), TTLConfig.NONE());
    }

    @Override
    public Iterator<Row> handleInputRows(String station, Iterator<Row> rows, TimerValues timers) {
        if (station.equals(PackedRow.NO_STATION)) {
            return rows.map(PackedRow::asRejected);
        }
        Long newestBefore = newest.get();
        long newestNow = newestBefore == null ? Long.MIN_VALUE : newestBefore;
        long closedBefore = closedBy(newestBefore);
        Map<Long, Pane> updatedPanes = new HashMap<>();
        Map<Long, Summary> changedSummaries = new HashMap<>();
        List<Row> output = new ArrayList<>();
        while (rows.hasNext()) {
            Row block = rows.next();
            long start = PackedRow.pane(block);
            newestNow = Math.max(newestNow, PackedRow.newest(block));
            if (windows.lastEnd(start) <= closedBefore) {
                output.addAll(PackedRow.asLate(block));
            } else if (updatedPanes.computeIfAbsent(start, this::pane).addAll(block)) {
                changedSummaries.put(start, Summary.NONE);
            }
        }
        long closedNow = advance(newestBefore, newestNow);
        changedSummaries.replaceAll((start, none) -> store(start, updatedPanes.get(start), closedNow));
        output.addAll(windows.windows(station, windows.endsOf(changedSummaries.keySet(), closedBefore),
                start -> changedSummaries.computeIfAbsent(start, this::summary)));
        removeClosedPanes(closedBefore, closedNow);
        return CollectionConverters.asScala(output.iterator());
    }

    /** Removes the state of a station that has not reported for so long that no reading of its windows can follow. */
    @Override
    public Iterator<Row> handleExpiredTimer(String station, TimerValues timers, ExpiredTimerInfo timer) {
        long expiry = newest.get() / 1000;
        if (expiry > timers.getCurrentWatermarkInMs()) {
            getHandle().registerTimer(expiry);
        } else {
            newest.clear();
            panes.clear();
            summaries.clear();
        }
        return CollectionConverters.asScala(java.util.Collections.emptyIterator());
    }

    /** Windows of the station that end at or before this time are closed. */
    private long closedBy(Long newestTime) {
        return newestTime == null ? closed : Math.max(closed, newestTime - delay);
    }

    /** Stores the time of the newest reading; returns the time up to which windows are closed from the next batch on. */
    private long advance(Long before, long now) {
        if (before == null) {
            // The only timer of the station. It is registered again when it expires: that costs a read of the state.
            getHandle().registerTimer(now / 1000);
        }
        if (before == null || now > before) {
            newest.update(now);
        }
        return closedBy(now);
    }

    private Pane pane(long start) {
        byte[] encoded = panes.getValue(start);
        return encoded == null ? new Pane() : Pane.decoded(encoded);
    }

    private Summary summary(long start) {
        byte[] encoded = summaries.getValue(start);
        return encoded == null ? null : Summary.decoded(encoded);
    }

    /** Stores a pane, unless this batch closes all its windows. */
    private Summary store(long start, Pane pane, long closedNow) {
        Summary summary = Summary.of(pane, start);
        if (windows.lastEnd(start) > closedNow) {
            panes.updateValue(start, pane.encoded());
            summaries.updateValue(start, summary.encoded());
        }
        return summary;
    }

    private void removeClosedPanes(long closedBefore, long closedNow) {
        if (windows.firstOpenPane(closedBefore) == windows.firstOpenPane(closedNow)) {
            return;
        }
        List<Long> starts = new ArrayList<>();
        summaries.keys().foreach(start -> windows.lastEnd(start) <= closedNow && starts.add(start));
        for (long start : starts) {
            panes.removeKey(start);
            summaries.removeKey(start);
        }
    }
}
