"""Deployments: layers of ``deploy.yml`` put into instances, looked at, and taken out again; ``ov update``."""
