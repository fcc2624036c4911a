package weatherglass;

import java.io.IOException;
import java.util.regex.Pattern;

import jakarta.servlet.Filter;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletRequest;
import jakarta.servlet.ServletResponse;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;

/**
 * Protects Spark's UIs, which have no login, from web pages of other sites that a user of this machine visits.
 *
 * <p>A page can point its own host name to this machine (DNS rebinding) and then read the responses. So the host must be
 * an IP address or a name without a dot, such as `localhost` or the name of a container; neither can belong to a site on
 * the internet. A page can also embed an address of the UI, for example as an image. Browsers mark such requests as
 * `cross-site` (Fetch Metadata, W3C); only links, which open a new page, are allowed.
 */
public final class UiRequestFilter implements Filter {
    private static final Pattern LOCAL_HOST =
            Pattern.compile("(?:[0-9]{1,3}(?:\\.[0-9]{1,3}){3}|\\[[0-9a-fA-F:.]+]|[a-zA-Z0-9_-]+)(?::[0-9]{1,5})?");

    @Override
    public void doFilter(ServletRequest request, ServletResponse response, FilterChain chain)
            throws IOException, ServletException {
        HttpServletRequest http = (HttpServletRequest) request;
        if (!isLocal(http.getHeader("Host"))) {
            ((HttpServletResponse) response).sendError(421, "Use an IP address or a host name without a dot");
        } else if (isEmbedded(http.getHeader("Sec-Fetch-Site"), http.getHeader("Sec-Fetch-Mode"))) {
            ((HttpServletResponse) response).sendError(403, "Requests from pages of other sites are not allowed");
        } else {
            chain.doFilter(request, response);
        }
    }

    static boolean isLocal(String host) {
        return host != null && LOCAL_HOST.matcher(host).matches();
    }

    static boolean isEmbedded(String site, String mode) {
        return ("cross-site".equals(site) || "same-site".equals(site)) && !"navigate".equals(mode);
    }
}
