// Swagger UI over the server's own schema. Its bundle, loaded before, leaves one global.
const place = document.getElementById("api-docs");

window.SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  layout: "BaseLayout",
  deepLinking: true,
  validatorUrl: null, // would send the schema to another site
  requestInterceptor: (request) => {
    if (request.method && request.method !== "GET") request.headers["X-CSRFToken"] = place.dataset.csrf;
    return request;
  },
});
