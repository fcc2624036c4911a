// Swagger UI for the API. Its requests go to the same server and carry the cookie of the login.
import { root } from "./api.js";
import { byId } from "./dom.js";

const box = byId("swagger-ui");

/** Swagger UI gives no accessible names to the fields of parameters and bodies. */
function labelFields() {
  for (const field of box.querySelectorAll(":is(select, textarea, input):not([aria-label])")) {
    const name = field.closest("tr")?.dataset.paramName ?? field.getAttribute("title");
    field.setAttribute("aria-label", name || "Request body");
  }
}
new MutationObserver(labelFields).observe(box, { childList: true, subtree: true });

SwaggerUIBundle({
  domNode: box,
  url: `${root}/openapi.json`,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: -1,
  syntaxHighlight: false, // its colours have too little contrast
  // There is only one server, and its menu has no label.
  plugins: [() => ({ wrapComponents: { ServersContainer: () => () => null } })],
  validatorUrl: null, // an external service
});
