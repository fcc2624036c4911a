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
 * <p>Input columns, in this order: `station_id`, `time`, `arrived` (microseconds since 1970), `offset`, the five
 * variables (double or null), `qc_flags` (int, see {@link QualityControl}), `source`. A stream has also
 * `topic_partition`, `size` (bytes of the message) and `original` (the message as a record of `weather-rejected`, null
 * if it cannot be needed); further columns are ignored. In a stream, the station {@link #REJECTED} stands for messages
 * that are no observations, of which only the last four columns are used.
 *
 * <p>Output columns: `station_id`, `end` (microseconds since 1970), `source`, `value` (the record as JSON),
 * `topic_partition`, `offset`, `size`, `original`. A row is a window, without the last four columns, or, if `end` is
 * null, a message of a stream that is in no window, since it is no observation or late.
 */
public final class Windows implements Serializable {
    /** No observation has this station: the parser rejects it. */
    static final String REJECTED = "";

    private static final String OUTPUT = "station_id string, end bigint, source string, value binary,"
            + " topic_partition int, offset bigint, size int,"
            + " original struct<key: binary, value: binary, headers: array<struct<key: string, value: binary>>>";

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
     * The windows changed by each batch, and the messages that are in no window.
     *
     * @param closed windows that end at or before it are closed for every station, microseconds since 1970
     * @param delay a window is closed when a station's newest reading is this much after its end, microseconds
     */
    public Dataset<Row> ofStream(Dataset<Row> observations, long closed, long delay) {
        return byStation(observations).transformWithState(new WindowProcessor(this, closed, delay),
                TimeMode.EventTime(), OutputMode.Update(), output());
    }

    /** All windows of all observations. */
    public Dataset<Row> ofBatch(Dataset<Row> observations) {
        return byStation(observations).flatMapGroups(
                (org.apache.spark.api.java.function.FlatMapGroupsFunction<String, Row, Row>) this::all, output());
    }

    private static KeyValueGroupedDataset<String, Row> byStation(Dataset<Row> observations) {
        return observations.groupBy("station_id").as(Encoders.STRING(), Encoders.row(observations.schema()));
    }

    private static Encoder<Row> output() {
        return Encoders.row(StructType.fromDDL(OUTPUT));
    }

    private Iterator<Row> all(String station, Iterator<Row> rows) {
        Map<Long, Pane> panesByStart = new HashMap<>();
        rows.forEachRemaining(row -> {
            Reading reading = reading(row);
            panesByStart.computeIfAbsent(paneOf(reading), start -> new Pane()).add(reading, source(row));
        });
        Map<Long, Summary> summaries = new HashMap<>();
        panesByStart.forEach((start, pane) -> summaries.put(start, Summary.of(pane, start)));
        return windows(station, endsOf(summaries.keySet(), Long.MIN_VALUE), summaries::get).iterator();
    }

    static Reading reading(Row row) {
        double[] values = new double[Reading.VALUES];
        for (int i = 0; i < values.length; i++) {
            values[i] = row.isNullAt(4 + i) ? Double.NaN : row.getDouble(4 + i);
        }
        return new Reading(row.getLong(1), row.getLong(2), row.getLong(3), values, row.getInt(9));
    }

    static String source(Row row) {
        return row.getString(10);
    }

    /** The output row of a message that is in no window. */
    static Row original(Row row) {
        return RowFactory.create(row.get(0), null, null, null, row.get(11), row.get(3), row.get(12), row.get(13));
    }

    /** Start of the pane that contains a reading. */
    long paneOf(Reading reading) {
        return reading.time() - Math.floorMod(reading.time(), slide);
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
            rows.add(RowFactory.create(
                    station, end, window.source(), record.json(station, end, window), null, null, null, null));
        }
        return rows;
    }
}
