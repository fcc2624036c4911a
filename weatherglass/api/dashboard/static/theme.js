// Sets the light or dark theme before the first paint. A classic script, because modules run after parsing.
{
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  // Embedded in Airflow, the page follows Airflow's theme, otherwise the system.
  const airflowTheme = () => {
    try {
      const classes = parent === self ? null : parent.document.documentElement.classList;
      return ["light", "dark"].find((name) => classes?.contains(name));
    } catch {
      return undefined; // embedded in a page of another origin
    }
  };
  const applyTheme = () => {
    const fromUrl = new URLSearchParams(location.search).get("theme");
    let stored = null;
    try {
      stored = localStorage.getItem("weatherglass.theme");
    } catch {
      /* the browser may block storage */
    }
    const theme = ["light", "dark"].find((name) => name === (fromUrl ?? stored));
    document.documentElement.dataset.theme = theme ?? airflowTheme() ?? (prefersDark.matches ? "dark" : "light");
  };
  applyTheme();
  prefersDark.addEventListener("change", applyTheme);
  addEventListener("weatherglass:preferences", applyTheme);
}
