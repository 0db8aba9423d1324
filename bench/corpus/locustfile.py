"""A Locust user for capture.py."""

from locust import HttpUser, constant, task


class Visitor(HttpUser):
    wait_time = constant(0.2)

    @task
    def look(self):
        self.client.get("/api/items/")
        self.client.post("/api/items/", json={"id": 7, "title": "first", "tags": ["a", "b"]})
