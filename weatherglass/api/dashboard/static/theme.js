// Before the first paint: light or dark, so that nothing flashes. A plain script, since modules wait for the page.
{
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // Within Airflow its pages decide, else the system.
  const around = () => {
    try {
      const names = parent === self ? null : parent.document.documentElement.classList;
      return ["light", "dark"].find((name) => names?.contains(name));
    } catch {
      return undefined; // a page from elsewhere
    }
  };
  const apply = () => {
    const asked = new URLSearchParams(location.search).get("theme");
    let kept = null;
    try {
      kept = localStorage.getItem("weatherglass.theme");
    } catch {
      /* storage may be forbidden */
    }
    const theme = ["light", "dark"].find((name) => name === (asked ?? kept));
    document.documentElement.dataset.theme = theme ?? around() ?? (dark.matches ? "dark" : "light");
  };
  apply();
  dark.addEventListener("change", apply);
  addEventListener("weatherglass:preferences", apply);
}
