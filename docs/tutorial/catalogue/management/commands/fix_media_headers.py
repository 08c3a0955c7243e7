"""A data fix that belongs to a deployment. Running it again does no harm."""

import mimetypes

from django.core.management.base import BaseCommand

from catalogue.models import Picture

# Not every system's table of types knows it.
mimetypes.add_type("image/webp", ".webp")


class Command(BaseCommand):
    help = "Give every picture on the media storage the Content-Type that its name says."

    def handle(self, *args, **options):
        pictures = list(Picture.objects.all())
        fixed = 0
        for number, picture in enumerate(pictures, start=1):
            right, _ = mimetypes.guess_type(picture.path)
            if right and picture.content_type != right:
                self.stdout.write(
                    f"[{number}/{len(pictures)}] {picture.path}: {picture.content_type} -> {right}"
                )
                picture.content_type = right
                picture.save(update_fields=["content_type"])
                fixed += 1
        self.stdout.write(f"{fixed} of {len(pictures)} pictures fixed.")
