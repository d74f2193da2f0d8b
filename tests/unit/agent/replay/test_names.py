from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.replay.names import is_person, private_name, sort_of


@pytest.mark.parametrize(
    "name", ["password", "userPassword", "card_number", "CardNumber", "cvv", "access-token", "apiKey", "writeKey"]
)
def test_names_that_are_private_at_every_level(name: str) -> None:
    assert private_name(name, "light")


@pytest.mark.parametrize(
    "name", ["email", "userEmail", "phone_number", "shippingAddress", "firstName", "first_name", "IP"]
)
def test_names_that_are_private_from_medium_up(name: str) -> None:
    assert private_name(name, "medium")
    assert private_name(name, "conservative")
    assert not private_name(name, "light")


@pytest.mark.parametrize(
    "name",
    [
        "accesstoken", "authtoken", "userpassword", "newpassword", "password1", "passwordHash", "Accesstoken",
        "tokenid", "tokens", "cookies", "pins", "PINs", "pincode", "pinCode", "pin_code", "userPin", "otpcode",
        "smsOtp", "cvvcode", "creditcard", "creditcardnumber", "securityCode", "card-holder", "x-api-key",
        "myApiKey", "private_key", "clientSecret", "fcmtoken", "credential", "pan", "account_number",
        "passphrase", "passwort",
        "DB_PASSWORD", "contraseña", "contrasen\u0303a", "senha", "motDePasse", "Пароль", "密码", "비밀번호",
        "iphone_pin", "user_pass", "dbPass", "socialSecurityNumber", "routing_number", "sortCode", "bank_account",
        "ephemeralKey", "recovery_codes", "backupCode", "code_verifier", "authCode", "login_code", "oneTimeCode",
        "activation_code", "resetCode", "JSESSIONID", "mnemonic", "seedPhrase", "recovery_phrase",
        "accountNo", "totp", "mfa", "csc", "cvn", "security_answer", "nino",
        "支付密码", "银行卡号", "短信验证码", "カード番号", "인증번호", "Токен", "Пин-код", "סיסמה", "邮箱password",
        "手机token", "登录口令",
    ],
)  # fmt: skip
def test_compounds_and_plurals_are_private_at_every_level(name: str) -> None:
    assert private_name(name, "light")


@pytest.mark.parametrize(
    "name",
    [
        "phonenumber", "emailaddress", "homeaddress", "dateOfBirth", "date_of_birth", "birthYear", "zipCode",
        "userphone", "emails", "addresses", "billing_street", "ipAddress", "contactPhone", "given_name", "family_name",
        "middleName", "recipient_name", "drivers_license", "tel", "addr", "town",
        "cpf", "aadhaarNumber", "pesel", "bsn", "dni", "codiceFiscale", "personnummer", "nhs_number", "drivingLicence",
        "mothersMaidenName",
        "customerName", "contact_name", "passengerNames", "holderName", "beneficiary-name", "sender_name",
        "手机号码", "联系电话", "真实姓名", "收货地址", "身份证号", "電話番号", "メールアドレス", "휴대폰번호",
        "Фамилия", "телефона", "Τηλέφωνο", "هاتف",
    ],
)  # fmt: skip
def test_compounds_and_plurals_are_private_from_medium_up(name: str) -> None:
    assert private_name(name, "medium")
    assert not private_name(name, "light")


@pytest.mark.parametrize("name", ["price", "product_id", "discard", "shipping", "description", "name", "spin"])
def test_names_that_are_not_private(name: str) -> None:
    assert not private_name(name, "conservative")


@pytest.mark.parametrize(
    "name",
    [
        "shipping", "spinner", "pinned", "company", "companyName", "tokenized", "tokenizer", "key", "keyCode",
        "public_key", "screenName", "secretary", "cardinal", "iPhone", "iphoneModel", "postcard", "japan",
        "nifty", "errorCode", "countryCode", "resetCount",
        "opinion", "discarded", "deviceId", "sessionId", "anonymous_id", "token_count", "card_type",
        "emailVerified", "passed", "compass", "profileName", "className", "stakeholder", "customerNameLength",
        "发生日期", "発生日時", "発生日", "발생일시", "학생일정", "안전화", "手机型号", "手机数量", "密码长度",
        "密码错误", "验证码错误", "토큰수", "токенизация", "Фиолетовый", "почти", "предпочтения", "возрождение",
        "Αυτοκίνητο",
    ],
)  # fmt: skip
def test_words_that_only_hold_one_of_them_are_not_private(name: str) -> None:
    assert not private_name(name, "conservative")


def test_what_is_always_private_stays_so_beside_a_person() -> None:
    assert private_name("cardHolderName", "light")
    assert private_name("bank_account_holder_name", "light")


def test_what_tells_of_a_person_may_be_called_so() -> None:
    assert all(map(is_person, ("user", "userInfo", "customer_data", "contactDetails", "currentUser", "UserDto")))
    assert not any(map(is_person, ("info", "data", "appInfo", "userInterface")))


def test_a_name_is_a_persons_in_traits_alone() -> None:
    assert private_name("name", "medium", traits=True)
    assert not private_name("name", "light", traits=True)
    assert not private_name("rename", "medium", traits=True)


def test_the_stricter_word_of_a_name_counts() -> None:
    sort = sort_of("phone_pin")
    assert sort is not None
    assert (sort.always, sort.common) == (True, False)


@pytest.mark.timeout(5)
@given(st.lists(st.sampled_from(["id", "no", "phone", "key", "app", "ip", "pin", "S", "_"]), max_size=200).map("".join))
def test_any_name_is_judged_soon(name: str) -> None:
    sort_of(name)
