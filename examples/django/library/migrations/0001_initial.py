"""Books and genres."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    operations = [
        migrations.CreateModel(
            "Genre",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("name", models.CharField(max_length=50, unique=True)),
            ],
        ),
        migrations.CreateModel(
            "Book",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("title", models.CharField(max_length=200, unique=True)),
                (
                    "genre",
                    models.ForeignKey("library.Genre", on_delete=django.db.models.deletion.CASCADE),
                ),
            ],
        ),
    ]
