package weatherglass;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.LongFunction;

import com.fasterxml.jackson.core.JsonProcessingException;
import org.apache.spark.api.java.function.FlatMapGroupsFunction;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoder;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.KeyValueGroupedDataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.streaming.OutputMode;
import org.apache.spark.sql.streaming.TimeMode;
import org.apache.spark.sql.types.StructType;

/**
 * Sliding windows over the observations of each station, built from panes one slide long, for streams and batches.
 *
 * <p>Output columns: `station_id`, `end` (microseconds since 1970), `source`, `value` (the record as JSON); for a
 * stream also `reason`, `partition`, `offset`, `size` (of the value, bytes), `key`, `replayed`. A row is a window,
 * without the last six columns, or, if `end` is null, a message of a stream that is in no window, since it is no
 * observation or late. Its value is null if the message is late and was not carried through the shuffle.
 */
public final class Windows implements Serializable {
    private static final String OUTPUT = "station_id string, end bigint, source string, value binary, reason string,"
            + " partition int, offset bigint, size int, key binary, replayed string";

    private final long slide;
    private final int panes;
    private final FeatureRecord record;

    /**
     * @param slide microseconds between two windows
     * @param panes number of slides in a window
     * @param parameters JSON of `weatherglass.qc.observation_checks.QcParameters`
     */
    public Windows(long slide, int panes, String parameters) throws JsonProcessingException {
        this.slide = slide;
        this.panes = panes;
        this.record = new FeatureRecord(QcParameters.fromJson(parameters), panes * slide);
    }

    /**
     * The messages of a stream as input of {@link #ofStream}; see {@link MessagePacker} and {@link PackedRow} for the
     * columns. The times are those of {@link #ofStream}.
     */
    public Dataset<Row> packed(Dataset<Row> messages, ObservationParser parser, QualityControl control, long closed,
                               long delay) {
        return messages.mapPartitions(new MessagePacker(this, parser, control, closed, delay),
                Encoders.row(PackedRow.schema(control.checks())));
    }

    /**
     * The windows changed by each batch, and the messages that are in no window.
     *
     * @param packed columns of {@link PackedRow}; further columns are ignored
     * @param closed windows that end at or before it are closed for every station, microseconds since 1970
     * @param delay a window is closed when a station's newest reading is this much after its end, microseconds
     */
    public Dataset<Row> ofStream(Dataset<Row> packed, long closed, long delay) {
        return byStation(packed).transformWithState(new WindowProcessor(this, closed, delay),
                TimeMode.EventTime(), OutputMode.Update(), output());
    }

    /**
     * All windows of all observations.
     *
     * @param observations `station_id`, `time`, `arrived` (microseconds since 1970), `offset`, the five variables
     *         (double or null), `source`
     */
    public Dataset<Row> ofBatch(Dataset<Row> observations, QualityControl control) {
        FlatMapGroupsFunction<String, Row, Row> all = (station, rows) -> all(station, rows, control);
        return byStation(observations).flatMapGroups(all, output());
    }

    private static KeyValueGroupedDataset<String, Row> byStation(Dataset<Row> rows) {
        return rows.groupBy("station_id").as(Encoders.STRING(), Encoders.row(rows.schema()));
    }

    private static Encoder<Row> output() {
        return Encoders.row(StructType.fromDDL(OUTPUT));
    }

    private Iterator<Row> all(String station, Iterator<Row> rows, QualityControl control) {
        Map<Long, Pane> panesByStart = new HashMap<>();
        rows.forEachRemaining(row -> {
            Reading reading = reading(row, control);
            panesByStart.computeIfAbsent(paneOf(reading.time()), start -> new Pane()).add(reading, row.getString(9));
        });
        Map<Long, Summary> summaries = new HashMap<>();
        panesByStart.forEach((start, pane) -> summaries.put(start, Summary.of(pane, start)));
        return windows(station, endsOf(summaries.keySet(), Long.MIN_VALUE), summaries::get).iterator();
    }

    static Reading reading(Row row, QualityControl control) {
        double[] values = new double[Reading.VALUES];
        for (int i = 0; i < values.length; i++) {
            values[i] = row.isNullAt(4 + i) ? Double.NaN : row.getDouble(4 + i);
        }
        return control.reading(row.getString(0), row.getLong(1), row.getLong(2), row.getLong(3), values);
    }

    /** Start of the pane that contains a time. */
    long paneOf(long time) {
        return time - Math.floorMod(time, slide);
    }

    /** End of the last window that contains a pane. */
    long lastEnd(long pane) {
        return pane + panes * slide;
    }

    /** Start of the first pane with an open window, if the windows that end at or before `closed` are closed. */
    long firstOpenPane(long closed) {
        return closed - Math.floorMod(closed, slide) - (panes - 1) * slide;
    }

    /** The ends after `closed` of all windows that contain any of the panes. */
    TreeSet<Long> endsOf(Iterable<Long> starts, long closed) {
        TreeSet<Long> ends = new TreeSet<>();
        for (long start : starts) {
            for (long end = start + slide; end <= lastEnd(start); end += slide) {
                if (end > closed) {
                    ends.add(end);
                }
            }
        }
        return ends;
    }

    /** The windows with these ends, computed from the summaries of their panes; null means that a pane is empty. */
    List<Row> windows(String station, Iterable<Long> ends, LongFunction<Summary> summaries) {
        List<Row> rows = new ArrayList<>();
        for (long end : ends) {
            Summary window = Summary.NONE;
            for (int i = 0; i < panes; i++) {
                Summary pane = summaries.apply(end - (panes - i) * slide);
                window = pane == null ? window : window.merge(pane, i * slide / 1e6);
            }
            rows.add(RowFactory.create(station, end, window.source(), record.json(station, end, window),
                    null, null, null, null, null, null));
        }
        return rows;
    }
}
