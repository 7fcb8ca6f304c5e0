from django.urls import path

from annotate.consumers import AnnotateConsumer

websocket_urlpatterns = [path("ws/tasks/<slug:slug>/", AnnotateConsumer.as_asgi())]
