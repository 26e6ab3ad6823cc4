// SPDX-License-Identifier: Apache-2.0
// A certificate for shop.example.com and *.shop.example.com, of the years 2020 to 2120, with its
// key: for the tests of this folder.
#pragma once

#define SHOP_CRT                                                                                   \
    "      -----BEGIN CERTIFICATE-----\n"                                                          \
    "      MIIBhDCCASqgAwIBAgIBATAKBggqhkjOPQQDAjAbMRkwFwYDVQQDDBBzaG9wLmV4\n"                     \
    "      YW1wbGUuY29tMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAbMRkw\n"                     \
    "      FwYDVQQDDBBzaG9wLmV4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD\n"                     \
    "      QgAE435aldg/5vrzOx4IHERU3fZkBNq6QjxAfy1+2Ers9maVPWhRWhY2zLPilSwW\n"                     \
    "      +ODBQjTF1Ay+UnOBichUndj8g6NdMFswCQYDVR0TBAIwADAvBgNVHREEKDAmghBz\n"                     \
    "      aG9wLmV4YW1wbGUuY29tghIqLnNob3AuZXhhbXBsZS5jb20wHQYDVR0OBBYEFBOO\n"                     \
    "      73iPH0hK1t7wZIQWQWVDyDiVMAoGCCqGSM49BAMCA0gAMEUCIQDIiNEzparh2gHy\n"                     \
    "      uTdUa1igIdvQ9ajCD3oUdyuloKtykAIgdyaNigyHkNxNdloEzqneaWsMJ6I0EZ2C\n"                     \
    "      BF/45ilSuek=\n"                                                                         \
    "      -----END CERTIFICATE-----\n"
#define SHOP_KEY                                                                                   \
    "      -----BEGIN PRIVATE KEY-----\n"                                                          \
    "      MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg2WLEjsr4u2VaNoIi\n"                     \
    "      j23tctwWxhCWj3PQzTkSbO8GByyhRANCAATjflqV2D/m+vM7HggcRFTd9mQE2rpC\n"                     \
    "      PEB/LX7YSuz2ZpU9aFFaFjbMs+KVLBb44MFCNMXUDL5Sc4GJyFSd2PyD\n"                             \
    "      -----END PRIVATE KEY-----\n"
// A Secret with them; `keys` may add more of stringData.
#define SHOP_SECRET(name, ns, keys)                                                                \
    "---\napiVersion: v1\nkind: Secret\nmetadata: {name: " name ", namespace: " ns "}\n"           \
    "type: kubernetes.io/tls\nstringData:\n" keys "    tls.crt: |\n" SHOP_CRT                      \
    "    tls.key: |\n" SHOP_KEY
