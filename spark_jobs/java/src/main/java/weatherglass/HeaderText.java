package weatherglass;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

import org.apache.spark.sql.Column;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.Expression;
import org.apache.spark.sql.catalyst.expressions.Literal;
import org.apache.spark.sql.catalyst.expressions.objects.StaticInvoke;
import org.apache.spark.sql.catalyst.expressions.objects.StaticInvoke$;
import org.apache.spark.sql.catalyst.util.ArrayData;
import org.apache.spark.sql.classic.ExpressionUtils;
import org.apache.spark.sql.types.DataTypes;

import scala.jdk.javaapi.CollectionConverters;

/**
 * The text of a header of a Kafka message, by one call on Spark's own representation of the headers. Spark's functions
 * for it (an array of the names, a search, a cast, two checks) are expensive without generated code.
 */
public final class HeaderText {
    private HeaderText() {
    }

    /**
     * @param headers column of Spark's Kafka source
     * @param name the first header with this name counts
     * @param maxBytes a longer text is null, as is one that is not valid UTF-8
     */
    public static Column column(Column headers, String name, int maxBytes) {
        List<Expression> arguments = List.of(ExpressionUtils.expression(headers), Literal.fromObject(name),
                new Literal(maxBytes, DataTypes.IntegerType));
        StaticInvoke$ defaults = StaticInvoke$.MODULE$;
        return ExpressionUtils.column(new StaticInvoke(HeaderText.class, DataTypes.BinaryType, "text",
                CollectionConverters.asScala(arguments).toSeq(), defaults.apply$default$5(), defaults.apply$default$6(),
                defaults.apply$default$7(), defaults.apply$default$8(), defaults.apply$default$9())).cast("string");
    }

    /** Called by Spark for each message; returns UTF-8. */
    public static byte[] text(ArrayData headers, String name, int maxBytes) {
        for (int i = 0; i < headers.numElements(); i++) {
            InternalRow header = headers.getStruct(i, 2);
            if (name.equals(header.getString(0))) {
                byte[] value = header.getBinary(1);
                return value != null && value.length <= maxBytes && isValid(value) ? value : null;
            }
        }
        return null;
    }

    /** Whether bytes are valid UTF-8: decoding replaces anything else. */
    private static boolean isValid(byte[] value) {
        return Arrays.equals(new String(value, StandardCharsets.UTF_8).getBytes(StandardCharsets.UTF_8), value);
    }
}
