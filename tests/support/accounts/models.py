import uuid

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, User
from django.db import models


class Employee(User):
    """Extends Django's user by a table, whose primary key is not that of the user."""

    number = models.AutoField(primary_key=True)
    user = models.OneToOneField(User, models.CASCADE, parent_link=True)
    desk = models.CharField(max_length=10)


class Colleague(User):
    class Meta:
        proxy = True


class Person(models.Model):
    is_active = models.BooleanField(default=True)

    def __str__(self):
        return str(self.pk)


class Member(Person, AbstractBaseUser):
    """A user model for AUTH_USER_MODEL, whose is_active is in the table of its parent."""

    name = models.CharField(max_length=50, unique=True)
    USERNAME_FIELD = "name"
    objects = BaseUserManager()


class Passwordless(AbstractBaseUser):
    """Has no column for a password; Django gives its instances one all the same."""

    password = None
    name = models.CharField(max_length=50, unique=True)
    is_active = models.BooleanField(default=True)
    USERNAME_FIELD = "name"
    objects = BaseUserManager()


class Plain(AbstractBaseUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=50, unique=True)
    is_active = models.BooleanField(default=True)
    USERNAME_FIELD = "name"
    objects = BaseUserManager()
