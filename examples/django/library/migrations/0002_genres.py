"""The genres that every library has."""

from django.db import migrations


def add_genres(apps, schema_editor):
    genre = apps.get_model("library", "Genre")
    genre.objects.bulk_create([genre(name="novel"), genre(name="poetry")])


class Migration(migrations.Migration):
    dependencies = [("library", "0001_initial")]

    operations = [migrations.RunPython(add_genres, migrations.RunPython.noop)]
