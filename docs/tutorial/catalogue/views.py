from django.http import HttpRequest, HttpResponse

from catalogue.models import Product


def products(request: HttpRequest) -> HttpResponse:
    lines = [str(product) for product in Product.objects.all()]
    return HttpResponse("\n".join(lines), content_type="text/plain")
