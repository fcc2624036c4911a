package weatherglass;

import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Queue;

import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.MapPartitionsFunction;
import org.apache.spark.sql.Row;

/**
 * Parses and checks the messages of a stream, and packs the readings of a station and pane into one row before the
 * shuffle. A row for each message would be converted, sorted and shuffled on its own, which took more than half of the
 * CPU time.
 *
 * <p>Input columns: `value`, `arrived` (microseconds since 1970), `partition`, `offset`, `key`, and `source`, `replayed`
 * (headers), `counted` (whether failed checks are counted). Output: {@link PackedRow}.
 */
final class MessagePacker implements MapPartitionsFunction<Row, Row> {
    /** A task packs at most this number of bytes at a time, then it starts new rows. */
    private static final int MAX_BYTES = 16 << 20;

    /** Memory of a new block, besides its bytes: the objects, and its entry in the map. */
    private static final int BLOCK_OVERHEAD = 400;

    /** Local property of Spark's tasks in a stream. */
    private static final String BATCH_NUMBER = "streaming.sql.batchId";

    private final Windows windows;
    private final ObservationParser parser;
    private final QualityControl control;
    private final long closed;
    private final long delay;

    MessagePacker(Windows windows, ObservationParser parser, QualityControl control, long closed, long delay) {
        this.windows = windows;
        this.parser = parser;
        this.control = control;
        this.closed = closed;
        this.delay = delay;
    }

    @Override
    public Iterator<Row> call(Iterator<Row> messages) {
        return packed(messages, "0".equals(TaskContext.get().getLocalProperty(BATCH_NUMBER)));
    }

    /** @param first whether there was no batch before, so that there is no state */
    Iterator<Row> packed(Iterator<Row> messages, boolean first) {
        return new Iterator<>() {
            private final Packer packer = new Packer(first);

            @Override
            public boolean hasNext() {
                while (packer.ready.isEmpty() && messages.hasNext()) {
                    packer.add(messages.next());
                    if (packer.bytes > MAX_BYTES || !messages.hasNext()) {
                        packer.finish();
                    }
                }
                return !packer.ready.isEmpty();
            }

            @Override
            public Row next() {
                return packer.ready.remove();
            }
        };
    }

    /**
     * Whether the windows of a pane may all be closed. They are if the station's newest reading of the previous batches
     * is `delay` after their end. That one arrived before, and was at most the tolerance in the future.
     */
    private boolean mayBeLate(long pane, long arrived, boolean first) {
        long newestPossible = first ? Long.MIN_VALUE : arrived + parser.futureTolerance() - delay;
        return windows.lastEnd(pane) <= Math.max(newestPossible, closed);
    }

    private record BlockKey(String station, long pane, int partition, String source) {
    }

    private final class Packer {
        private final boolean first;
        private final PlainMessage plain = new PlainMessage();
        private final ObservationFields fields = new ObservationFields();
        private final int checks = control.checks().length;
        private final Map<BlockKey, PackedRow.Builder> blocks = new LinkedHashMap<>();
        private final Queue<Row> ready = new ArrayDeque<>();
        private long bytes;

        Packer(boolean first) {
            this.first = first;
        }

        void add(Row message) {
            byte[] value = (byte[]) message.get(0), key = (byte[]) message.get(4);
            long arrived = message.getLong(1), offset = message.getLong(3);
            int partition = message.getInt(2);
            String replayed = message.getString(6);
            String reason = parser.parse(value, arrived, plain, fields);
            if (reason != null) {
                ready.add(PackedRow.rejected(partition, offset, reason, key, value, replayed, checks));
                return;
            }
            long pane = windows.paneOf(fields.time);
            PackedRow.Builder block = blocks.computeIfAbsent(
                    new BlockKey(fields.station, pane, partition, message.getString(5)), this::newBlock);
            int before = block.capacity();
            block.add(control.reading(fields.station, fields.time, arrived, offset, fields.values),
                    message.getBoolean(7));
            if (mayBeLate(pane, arrived, first)) {
                block.addOriginal(key, value, replayed);
            } else {
                block.addSize(value);
            }
            bytes += block.capacity() - before;
        }

        private PackedRow.Builder newBlock(BlockKey key) {
            PackedRow.Builder block = new PackedRow.Builder(checks);
            bytes += block.capacity() + BLOCK_OVERHEAD;
            return block;
        }

        void finish() {
            blocks.forEach((key, block) ->
                    ready.add(block.row(key.station(), key.pane(), key.partition(), key.source())));
            blocks.clear();
            bytes = 0;
        }
    }
}
