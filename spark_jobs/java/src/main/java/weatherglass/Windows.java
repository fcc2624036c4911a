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
 * variables (double or null), `qc_flags` (int, see {@link QualityControl}), `source`; others are ignored.
 * Output columns: `station_id`, `end` (microseconds since 1970), `late` (int), `source`, `value` (the record as JSON).
 * A row is a window or, if `end` is null, the number of `late` observations of a station.
 */
public final class Windows implements Serializable {
    private final long slide;
    private final int panes;
    private final long closed;
    private final FeatureRecord record;

    /**
     * @param slide microseconds between two windows
     * @param panes number of slides in a window
     * @param closed in a stream, windows that end at or before it are closed, independent of the watermark
     * @param parameters JSON of `weatherglass.qc.observation_checks.QcParameters`
     */
    public Windows(long slide, int panes, long closed, String parameters) throws JsonProcessingException {
        this.slide = slide;
        this.panes = panes;
        this.closed = closed;
        this.record = new FeatureRecord(QcParameters.fromJson(parameters), panes * slide);
    }

    /** The windows changed by each batch. The watermark may be on any column; it is compared with `time`. */
    public Dataset<Row> ofStream(Dataset<Row> observations) {
        return byStation(observations).transformWithState(
                new WindowProcessor(this), TimeMode.EventTime(), OutputMode.Update(), features());
    }

    /** All windows of all observations. */
    public Dataset<Row> ofBatch(Dataset<Row> observations) {
        return byStation(observations).flatMapGroups(
                (org.apache.spark.api.java.function.FlatMapGroupsFunction<String, Row, Row>) this::all, features());
    }

    private static KeyValueGroupedDataset<String, Row> byStation(Dataset<Row> observations) {
        return observations.groupBy("station_id").as(Encoders.STRING(), Encoders.row(observations.schema()));
    }

    private static Encoder<Row> features() {
        return Encoders.row(StructType.fromDDL(
                "station_id string, end bigint, late int, source string, value binary"));
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

    /** Windows that end at or before this time are closed, microseconds since 1970; `watermark` in milliseconds. */
    long closed(long watermark) {
        return Math.max(closed, watermark * 1000);
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

    /** A row that counts the observations of a station that arrived too late for any window. */
    static Row late(String station, int observations) {
        return RowFactory.create(station, null, observations, null, null);
    }

    /** Start of the pane that contains a reading. */
    long paneOf(Reading reading) {
        return reading.time() - Math.floorMod(reading.time(), slide);
    }

    /** End of the last window that contains a pane. */
    long lastEnd(long pane) {
        return pane + panes * slide;
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
            rows.add(RowFactory.create(station, end, null, window.source(), record.json(station, end, window)));
        }
        return rows;
    }
}
