from django.db import models


class Product(models.Model):
    name = models.CharField(max_length=100, unique=True)
    price_cents = models.PositiveIntegerField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.name}: {self.price_cents / 100:.2f}"


class Picture(models.Model):
    """A file on the media storage, with the header that the storage serves it with."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE)
    path = models.CharField(max_length=200, unique=True)
    content_type = models.CharField(max_length=100, default="application/octet-stream")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.path
