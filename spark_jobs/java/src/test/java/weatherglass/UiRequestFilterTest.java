package weatherglass;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.NullAndEmptySource;
import org.junit.jupiter.params.provider.ValueSource;

class UiRequestFilterTest {
    @ParameterizedTest
    @ValueSource(strings = {"127.0.0.1:4040", "127.0.0.1", "localhost:4040", "jobs:4040", "spark-master:8080", "[::1]:4040",
            "192.168.1.20:4040", "a1b2c3d4e5f6"})
    void addressesAndNamesWithoutDotAreLocal(String host) {
        assertTrue(UiRequestFilter.isLocal(host));
    }

    @ParameterizedTest
    @NullAndEmptySource
    @ValueSource(strings = {"attacker.example:4040", "127.0.0.1.nip.io", "localhost.", "a.b", "127.0.0.1:4040@x.example",
            "localhost:4040:1", "localhost\n", "[::1", " localhost"})
    void otherHostsAreNotLocal(String host) {
        assertFalse(UiRequestFilter.isLocal(host));
    }

    @ParameterizedTest
    @CsvSource({
        "cross-site,no-cors,true",
        "cross-site,cors,true",
        "same-site,no-cors,true",
        "cross-site,,true",
        "cross-site,navigate,false",
        "same-origin,no-cors,false",
        "none,navigate,false",
        ",,false",
    })
    void requestsOfOtherSitesAreEmbeddedUnlessTheyOpenAPage(String site, String mode, boolean embedded) {
        assertEquals(embedded, UiRequestFilter.isEmbedded(site, mode));
    }
}
