package weatherglass;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;

import org.junit.jupiter.api.Test;

class ReadingBlockTest {
    private static final double[] SPECIAL = {
        Double.NaN, 0.0, -0.0, 0.01, -0.01, 0.1 + 0.2, 1013.25, 1e300, -1e300, Double.MIN_VALUE, Double.MAX_VALUE, 1e17 / 3,
        9.2e16, -9.3e16, 9_007_199_254_740_993.0};

    private static void assertRestored(List<Reading> readings) {
        ReadingBlock block = new ReadingBlock();
        readings.forEach(block::add);
        List<Reading> restored = ReadingBlock.decoded(block.encoded());

        assertEquals(readings.size(), restored.size());
        for (int i = 0; i < readings.size(); i++) {
            Reading expected = readings.get(i), actual = restored.get(i);
            assertEquals(expected.time(), actual.time());
            assertEquals(expected.arrived(), actual.arrived());
            assertEquals(expected.offset(), actual.offset());
            assertEquals(expected.qcFlags(), actual.qcFlags());
            for (int value = 0; value < Reading.VALUES; value++) {
                assertEquals(Double.doubleToLongBits(expected.values()[value]),
                        Double.doubleToLongBits(actual.values()[value]));
            }
        }
        assertEquals(readings.stream().mapToLong(Reading::time).max().orElse(Long.MIN_VALUE), block.newest());
    }

    @Test
    void anEmptyBlockHasNoReadings() {
        assertRestored(List.of());
        assertArrayEquals(new byte[0], new ReadingBlock().encoded());
    }

    @Test
    void readingsAreRestoredInOrderWithTheSameBits() {
        Random random = new Random(3);
        List<Reading> readings = new ArrayList<>();
        for (int i = 0; i < 5_000; i++) {
            double[] values = new double[Reading.VALUES];
            for (int value = 0; value < values.length; value++) {
                values[value] = switch (random.nextInt(3)) {
                    case 0 -> SPECIAL[random.nextInt(SPECIAL.length)];
                    case 1 -> random.nextInt(200_000) / 100.0 - 1000;
                    default -> random.nextDouble() * 100;
                };
            }
            long far = random.nextInt(10) == 0 ? random.nextLong() >> 2 : random.nextInt(60_000_000);
            readings.add(new Reading(far, far + random.nextInt(1000), random.nextInt(), values, random.nextInt()));
        }
        assertRestored(readings);
    }
}
