"""A migration that fails half-way, on data that only the live database has: the tray has no number.

Copy it to catalogue/migrations/ to see a release fail. By then it has added a column and changed two rows;
Django runs a migration in one transaction on SQLite, so none of that stays.
"""

from django.db import migrations, models


def number_products(apps, schema_editor):
    for product in apps.get_model("catalogue", "Product").objects.all():
        name, separator, number = product.name.partition(", No. ")
        if not separator:
            raise ValueError(f"product {product.pk} ({product.name!r}) has no number in its name")
        product.name, product.number = name, int(number)
        product.save()
        print(f"  {product.name} is number {product.number}")


class Migration(migrations.Migration):
    dependencies = [("catalogue", "0002_first_products")]

    operations = [
        migrations.AddField("product", "number", models.PositiveIntegerField(null=True, unique=True)),
        migrations.RunPython(number_products, migrations.RunPython.noop),
    ]
