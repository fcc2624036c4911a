package weatherglass;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Fast reader for a message in its usual form: one flat object in ASCII without escapes, with each name once, numbers
 * of at most 15 digits without exponent, and a time in UTC with `Z`. It reads the bytes once and copies only the station.
 * Any other message, valid or not, is left to the JSON parser of {@link ObservationParser}; both must give the same.
 */
final class PlainMessage {
    private static final byte[][] VARIABLES = {
        name("temperature"), name("humidity"), name("pressure"), name("wind_speed"), name("wind_direction")};
    private static final byte[] STATION = name("station_id");
    private static final byte[] TIME = name("timestamp");
    private static final int STATION_BIT = 1 << Reading.VALUES;
    private static final int TIME_BIT = 2 << Reading.VALUES;

    private static final int MAX_NAME_LENGTH = 1000;
    private static final int MAX_UNKNOWN_NAMES = 8;
    private static final int MAX_DIGITS = 15;
    private static final double[] POWERS_OF_10 = {
        1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

    private byte[] bytes;
    private int at;
    private ObservationFields fields;
    private double number;
    private int seen;
    private int unknownNames;
    private final int[] unknownStarts = new int[MAX_UNKNOWN_NAMES];
    private final int[] unknownEnds = new int[MAX_UNKNOWN_NAMES];

    private static byte[] name(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }

    /** Reads a message; false if it has another form, and then the fields may be partly set. */
    boolean read(byte[] message, ObservationFields into) {
        bytes = message;
        at = 0;
        fields = into;
        seen = 0;
        unknownNames = 0;
        if (next() != '{') {
            return false;
        }
        int separator;
        do {
            if (!field()) {
                return false;
            }
            separator = next();
        } while (separator == ',');
        return separator == '}' && next() < 0 && (seen & STATION_BIT) != 0 && (seen & TIME_BIT) != 0;
    }

    private boolean field() {
        int start = next() == '"' ? at : -1;
        if (start < 0 || !skipText()) {
            return false;
        }
        int end = at - 1;
        if (end - start > MAX_NAME_LENGTH || next() != ':') {
            return false;
        }
        for (int i = 0; i < Reading.VALUES; i++) {
            if (is(VARIABLES[i], start, end)) {
                return first(1 << i) && variable(i);
            }
        }
        if (is(STATION, start, end)) {
            return first(STATION_BIT) && station();
        }
        if (is(TIME, start, end)) {
            return first(TIME_BIT) && time();
        }
        return isNewUnknown(start, end) && skipValue();
    }

    private boolean is(byte[] name, int start, int end) {
        return name.length == end - start && Arrays.equals(name, 0, name.length, bytes, start, end);
    }

    private boolean first(int bit) {
        boolean repeated = (seen & bit) != 0;
        seen |= bit;
        return !repeated;
    }

    private boolean isNewUnknown(int start, int end) {
        for (int i = 0; i < unknownNames; i++) {
            if (Arrays.equals(bytes, unknownStarts[i], unknownEnds[i], bytes, start, end)) {
                return false;
            }
        }
        if (unknownNames == MAX_UNKNOWN_NAMES) {
            return false;
        }
        unknownStarts[unknownNames] = start;
        unknownEnds[unknownNames++] = end;
        return true;
    }

    private boolean variable(int variable) {
        int start = next();
        if (start == 'n') {
            return skipWord("ull");
        }
        if (!number(start)) {
            return false;
        }
        fields.values[variable] = number;
        return true;
    }

    private boolean station() {
        int start = next() == '"' ? at : -1;
        if (start < 0 || !skipText()) {
            return false;
        }
        fields.station = new String(bytes, start, at - 1 - start, StandardCharsets.ISO_8859_1);
        return ObservationParser.isStationId(fields.station);
    }

    private boolean skipValue() {
        int start = next();
        return switch (start) {
            case '"' -> skipText();
            case 'n' -> skipWord("ull");
            case 't' -> skipWord("rue");
            case 'f' -> skipWord("alse");
            default -> number(start);
        };
    }

    /** The next byte that is not white space; -1 at the end. */
    private int next() {
        while (at < bytes.length) {
            byte next = bytes[at++];
            if (next != ' ' && next != '\n' && next != '\r' && next != '\t') {
                return next & 0xFF;
            }
        }
        return -1;
    }

    /** Moves behind the closing quotation mark. */
    private boolean skipText() {
        while (at < bytes.length) {
            byte next = bytes[at++];
            if (next == '"') {
                return true;
            }
            if (next < ' ' || next == '\\') {  // bytes beyond ASCII are negative
                return false;
            }
        }
        return false;
    }

    private boolean skipWord(String rest) {
        for (int i = 0; i < rest.length(); i++) {
            if (at == bytes.length || bytes[at++] != rest.charAt(i)) {
                return false;
            }
        }
        return true;
    }

    /**
     * Reads a number whose first byte is read already. Its digits, at most 15, are an integer that a double represents
     * exactly, and so is the power of ten, so that their quotient is rounded correctly.
     */
    private boolean number(int start) {
        boolean negative = start == '-';
        int first = negative ? digitOrOther() : start;
        if (first < '0' || first > '9') {
            return false;
        }
        long digits = first - '0';
        int count = 1, decimals = 0;
        int next = digitOrOther();
        if (first == '0' && next >= '0' && next <= '9') {
            return false;
        }
        for (; next >= '0' && next <= '9'; next = digitOrOther()) {
            digits = digits * 10 + next - '0';
            if (++count > MAX_DIGITS) {
                return false;
            }
        }
        if (next == '.') {
            for (next = digitOrOther(); next >= '0' && next <= '9'; next = digitOrOther()) {
                digits = digits * 10 + next - '0';
                decimals++;
                if (++count > MAX_DIGITS) {
                    return false;
                }
            }
            if (decimals == 0) {
                return false;
            }
        }
        if (next == 'e' || next == 'E' || negative && digits == 0) {
            return false;
        }
        at = next < 0 ? at : at - 1;
        double value = digits / POWERS_OF_10[decimals];
        number = negative ? -value : value;
        return true;
    }

    private int digitOrOther() {
        return at < bytes.length ? bytes[at++] & 0xFF : -1;
    }

    /** A time such as `2026-01-05T12:15:00.123Z`, with no or up to nine decimals. */
    private boolean time() {
        int start = next() == '"' ? at : -1;
        if (start < 0 || !skipText()) {
            return false;
        }
        int end = at - 2;
        int length = end - start;
        if (length != 19 && (length < 21 || length > 29) || bytes[end] != 'Z' || bytes[start + 4] != '-'
                || bytes[start + 7] != '-' || bytes[start + 10] != 'T' || bytes[start + 13] != ':'
                || bytes[start + 16] != ':' || length > 19 && bytes[start + 19] != '.') {
            return false;
        }
        int year = digits(start, 4), month = digits(start + 5, 2), day = digits(start + 8, 2);
        int hour = digits(start + 11, 2), minute = digits(start + 14, 2), second = digits(start + 17, 2);
        int milliseconds = 0;
        if (length > 19) {
            int decimals = length - 20;
            if (digits(start + 20, decimals) < 0) {
                return false;
            }
            milliseconds = digits(start + 20, Math.min(decimals, 3));
            for (int i = decimals; i < 3; i++) {
                milliseconds *= 10;
            }
        }
        if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysOf(year, month)
                || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) {
            return false;
        }
        long seconds = ((daysSince1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
        fields.time = (seconds * 1000 + milliseconds) * 1000;
        return true;
    }

    /** The number that these digits are; -1 if one is not a digit. */
    private int digits(int start, int count) {
        int value = 0;
        for (int i = start; i < start + count; i++) {
            int digit = bytes[i] - '0';
            if (digit < 0 || digit > 9) {
                return -1;
            }
            value = value * 10 + digit;
        }
        return value;
    }

    private static int daysOf(int year, int month) {
        if (month == 2) {
            return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
        }
        return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
    }

    /** Days of the proleptic Gregorian calendar; years begin in March, so that the leap day is the last one. */
    private static long daysSince1970(int year, int month, int day) {
        long y = month > 2 ? year : year - 1L;
        long dayOfYear = (153L * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
        return 365 * y + y / 4 - y / 100 + y / 400 + dayOfYear - 719_468;
    }
}
