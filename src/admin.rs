//! What people and Prometheus see: the web page, `/metrics`, health, and the JSON API.
