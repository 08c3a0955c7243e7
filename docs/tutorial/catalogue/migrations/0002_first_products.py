"""A data migration: the products that the shop opens with, as they were in its spreadsheet."""

from django.db import migrations

SPREADSHEET = [
    ("Mug, No. 101", "12.50", "pictures/mug.jpg"),
    ("Teapot, No. 102", "38.00", "pictures/teapot.png"),
    ("Tray", "24.90", "pictures/tray.webp"),
]


def add_products(apps, schema_editor):
    Product = apps.get_model("catalogue", "Product")
    Picture = apps.get_model("catalogue", "Picture")
    for name, price, path in SPREADSHEET:
        product = Product.objects.create(name=name, price_cents=round(float(price) * 100))
        Picture.objects.create(product=product, path=path)


def remove_products(apps, schema_editor):
    names = [name for name, _, _ in SPREADSHEET]
    apps.get_model("catalogue", "Product").objects.filter(name__in=names).delete()


class Migration(migrations.Migration):
    dependencies = [("catalogue", "0001_initial")]

    operations = [migrations.RunPython(add_products, remove_products)]
