"""What serves pages and websockets: one process of uvicorn, or several under gunicorn."""
