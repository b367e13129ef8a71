# Written by `python -m engine.declarations` from engine/records.py; a test keeps it current. Do not edit.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    COMMAND_KIND_EPOCH_START = 1
    COMMAND_KIND_TIME_TICK = 2
    COMMAND_KIND_ASSET_ADD = 10
    COMMAND_KIND_MARKET_ADD = 11
    COMMAND_KIND_FEES_SET = 12
    COMMAND_KIND_MARKET_STATE_SET = 13
    COMMAND_KIND_LIMITS_SET = 14
    COMMAND_KIND_TIME_ACCEPT = 15
    COMMAND_KIND_ACCOUNT_ADD = 20
    COMMAND_KIND_ACCOUNT_FREEZE = 21
    COMMAND_KIND_ACCOUNT_UNFREEZE = 22
    COMMAND_KIND_KEY_ADD = 23
    COMMAND_KIND_KEY_REVOKE = 24
    COMMAND_KIND_ACCOUNT_LIMITS_SET = 25
    COMMAND_KIND_DEPOSIT = 30
    COMMAND_KIND_WITHDRAW = 31
    COMMAND_KIND_ORDER_PLACE = 40
    COMMAND_KIND_ORDER_CANCEL = 41
    COMMAND_KIND_ORDER_CANCEL_ALL = 42
    COMMAND_KIND_STATE_REPORT = 50

cdef enum:
    EVENT_KIND_REJECTED = 1
    EVENT_KIND_EPOCH_STARTED = 2
    EVENT_KIND_ASSET_ADDED = 10
    EVENT_KIND_MARKET_ADDED = 11
    EVENT_KIND_FEES_CHANGED = 12
    EVENT_KIND_MARKET_STATE_CHANGED = 13
    EVENT_KIND_LIMITS_CHANGED = 14
    EVENT_KIND_TIME_ACCEPTED = 15
    EVENT_KIND_ACCOUNT_ADDED = 20
    EVENT_KIND_ACCOUNT_FROZEN = 21
    EVENT_KIND_ACCOUNT_UNFROZEN = 22
    EVENT_KIND_KEY_ADDED = 23
    EVENT_KIND_KEY_REVOKED = 24
    EVENT_KIND_ACCOUNT_LIMITS_CHANGED = 25
    EVENT_KIND_DEPOSITED = 30
    EVENT_KIND_WITHDRAWN = 31
    EVENT_KIND_ORDER_ACCEPTED = 40
    EVENT_KIND_TRADE = 41
    EVENT_KIND_ORDER_CLOSED = 42
    EVENT_KIND_TRADE_PREVENTED = 43
    EVENT_KIND_ICEBERG_REFILLED = 44
    EVENT_KIND_STATE_REPORTED = 50

cdef enum:
    DISPOSITION_EXECUTED = 0
    DISPOSITION_DUPLICATE = 1
    DISPOSITION_STALE = 2
    DISPOSITION_MALFORMED = 3

cdef enum:
    SIDE_BUY = 1
    SIDE_SELL = 2

cdef enum:
    SELF_TRADE_MODE_NONE = 0

cdef enum:
    COMMAND_FLAG_HAS_TERMS = 1
    COMMAND_FLAG_NAMELESS_ONLY = 2
    COMMAND_FLAG_UNFILLED_ONLY = 4
    COMMAND_FLAG_PARTLY_FILLED_ONLY = 8

cdef enum:
    EVENT_FLAG_TAKER_FILLED = 1
    EVENT_FLAG_MAKER_FILLED = 2
    EVENT_FLAG_MAY_REST = 4
    EVENT_FLAG_WORKING = 8

cdef enum:
    AGENDA_KIND_CLOSE_ORDERS = 1

cdef enum:
    MARKET_STATE_TRADING = 1
    MARKET_STATE_HALTED = 2

cdef enum:
    KEY_TYPE_HMAC_SHA256 = 1
    KEY_TYPE_ED25519 = 2

cdef enum:
    REASON_NONE = 0
    REASON_MALFORMED_COMMAND = 101
    REASON_UNKNOWN_COMMAND = 102
    REASON_UNKNOWN_ASSET = 201
    REASON_UNKNOWN_MARKET = 202
    REASON_ASSET_EXISTS = 203
    REASON_MARKET_EXISTS = 204
    REASON_INVALID_ASSET_DEFINITION = 205
    REASON_INVALID_MARKET_DEFINITION = 206
    REASON_INVALID_FEES = 207
    REASON_INVALID_STATE = 208
    REASON_MARKET_HALTED = 209
    REASON_VENUE_HALTED = 210
    REASON_TOO_MANY_DEFINITIONS = 211
    REASON_UNKNOWN_ACCOUNT = 301
    REASON_ACCOUNT_EXISTS = 302
    REASON_INVALID_ACCOUNT_NAME = 303
    REASON_ACCOUNT_FROZEN = 304
    REASON_ACCOUNT_NOT_FROZEN = 305
    REASON_KEY_EXISTS = 306
    REASON_UNKNOWN_KEY = 307
    REASON_INVALID_KEY = 308
    REASON_TOO_MANY_KEYS = 309
    REASON_INVALID_AMOUNT = 310
    REASON_INSUFFICIENT_FUNDS = 311
    REASON_WEAK_PUBLIC_KEY = 320
    REASON_INVALID_LIMITS = 330
    REASON_UNKNOWN_TIER = 331
    REASON_TOO_MANY_TIERS = 332
    REASON_INVALID_NETWORKS = 333
    REASON_INVALID_SIDE = 401
    REASON_INVALID_ORDER_TYPE = 402
    REASON_INVALID_TIME_IN_FORCE = 403
    REASON_INVALID_SELF_TRADE_MODE = 404
    REASON_INVALID_PRICE = 405
    REASON_INVALID_QUANTITY = 406
    REASON_INVALID_QUOTE_AMOUNT = 407
    REASON_NOTIONAL_TOO_SMALL = 408
    REASON_NOTIONAL_TOO_LARGE = 409
    REASON_INVALID_CLIENT_ID = 410
    REASON_DUPLICATE_CLIENT_ID = 411
    REASON_TOO_MANY_OPEN_ORDERS = 412
    REASON_WOULD_TAKE = 413
    REASON_ORDER_ID_IN_USE = 414
    REASON_UNKNOWN_ORDER = 501
    REASON_NO_OPEN_ORDERS = 502
    REASON_CANCEL_RESTRICTED = 503
    REASON_CANCELLED_BY_OWNER = 601
    REASON_CANCELLED_BY_FREEZE = 602
    REASON_IOC_REMAINDER_EXPIRED = 603
    REASON_FILL_OR_KILL_EXPIRED = 604
    REASON_MARKET_REMAINDER_EXPIRED = 605
    REASON_FILL_LIMIT = 606
    REASON_INVALID_JSON = 701
    REASON_UNKNOWN_METHOD = 702
    REASON_MISSING_PARAMETER = 703
    REASON_ILLEGAL_CHARACTERS = 704
    REASON_TOO_PRECISE = 705
    REASON_NUMBER_TOO_LARGE = 706
    REASON_PARAMETER_NOT_REQUIRED = 707
    REASON_INVALID_PARAMETER = 708
    REASON_EMPTY_PARAMETER = 709
    REASON_DUPLICATE_PARAMETER = 710
    REASON_UNSUPPORTED_FEATURE = 711
    REASON_UNKNOWN_SYMBOL = 712
    REASON_PRICE_NOT_ON_TICK = 713
    REASON_QUANTITY_NOT_ON_LOT = 714
    REASON_ORDER_NOT_FOUND = 715
    REASON_CLIENT_ID_MISMATCH = 716
    REASON_INVALID_TIME_UNIT = 717
    REASON_INVALID_CANCEL_RESTRICTIONS = 718
    REASON_INVALID_API_KEY_FORMAT = 720
    REASON_UNAUTHORIZED = 721
    REASON_LOGON_REQUIRED = 722
    REASON_INVALID_SIGNATURE = 723
    REASON_OUTSIDE_WINDOW = 724
    REASON_AHEAD_OF_TIME = 725
    REASON_WINDOW_TOO_LARGE = 726
    REASON_LOGON_NEEDS_ED25519 = 727
    REASON_REPLAYED_REQUEST = 728
    REASON_SUBSCRIPTION_ACTIVE = 730
    REASON_SUBSCRIPTION_NOT_ACTIVE = 731
    REASON_TOO_MANY_SUBSCRIPTIONS = 732
    REASON_UNKNOWN_STREAM = 733
    REASON_INVALID_STREAM_REQUEST = 734
    REASON_TOO_MANY_REQUESTS = 740
    REASON_TOO_MANY_NEW_ORDERS = 741
    REASON_TOO_MANY_CONNECTIONS = 742
    REASON_BANNED = 743
    REASON_SIGNATURE_USED = 745
    REASON_LOGON_WINDOW_TOO_LARGE = 746
    REASON_TOO_MANY_ACCOUNT_SUBSCRIPTIONS = 747
    REASON_OVERLOADED = 750
    REASON_OUTCOME_UNKNOWN = 751
    REASON_UNAVAILABLE = 752
    REASON_INVALID_COMBINATION = 760
    REASON_INTERVAL_TOO_LONG = 761
    REASON_INVALID_SYMBOL_STATUS = 762
    REASON_SYMBOL_STATUS_MISMATCH = 763
    REASON_ORIGIN_REFUSED = 780
    REASON_TOO_MANY_OPEN_CONNECTIONS = 781

cdef enum:
    RECORD_VERSION = 2
    RECORD_BATCH_COMMANDS_MAX = 256
    RECORD_EVENTS_MAX = 8192
    RECORD_EVENTS_BEGIN_MAX = 4096
    RECORD_FILLS_MAX = 2048
    RECORD_CLIENT_ID_BYTES = 36
    RECORD_PPM = 1000000
    RECORD_EVENT_BYTES = 256

cdef extern from * nogil:
    """
    #define JIBEK_NO_COMMAND 4294967295u
    #define JIBEK_AMOUNT_MAX INT64_C(4611686018427387903)
    #define JIBEK_BOOK_MAGIC "JBK1\\000\\000\\000\\000"
    """
    const uint32_t NO_COMMAND "JIBEK_NO_COMMAND"
    # Largest amount, value or sum of an asset.
    const int64_t AMOUNT_MAX "JIBEK_AMOUNT_MAX"
    # What the saved state of an order book begins with.
    const char* BOOK_MAGIC "JIBEK_BOOK_MAGIC"

cdef struct BatchHeader:
    uint16_t version
    uint16_t command_count
    uint32_t producer
    uint64_t incarnation
    uint64_t number
    uint32_t blob_length
    uint32_t crc32

cdef struct Command:
    uint8_t kind
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t self_trade_mode
    uint8_t flags
    uint16_t asset
    uint32_t account
    uint32_t market
    uint64_t order_id
    int64_t price_ticks
    int64_t quantity_lots
    int64_t amount
    int64_t trigger_ticks
    int64_t display_lots
    int64_t expiry_us
    uint64_t group
    char client_id[36]
    uint32_t blob_offset
    uint32_t blob_length
    uint32_t state

cdef struct OrderTerms:
    int64_t activation_ticks
    int64_t minimum_lots
    int64_t peg_limit_ticks
    int64_t strategy_id
    uint64_t reserved
    uint32_t trail_bps
    int32_t peg_offset
    uint32_t strategy_type
    uint32_t self_trade_group
    uint8_t contingency
    uint8_t list_leg
    uint8_t peg_type
    uint8_t reserved_2
    uint32_t reserved_3

cdef struct EventHeader:
    uint16_t version
    uint8_t disposition
    uint8_t reserved
    uint32_t event_count
    uint32_t producer
    uint32_t reserved_2
    uint64_t incarnation
    uint64_t number
    int64_t time_us
    uint64_t blob_length

cdef struct OrderEvent:
    uint8_t kind
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t self_trade_mode
    uint8_t command
    uint16_t reason
    uint32_t command_index
    uint32_t market
    uint32_t account
    uint16_t flags
    uint16_t base_asset
    uint16_t quote_asset
    uint16_t asset
    uint8_t state
    uint8_t contingency
    uint8_t list_leg
    uint8_t list_status
    uint64_t order_id
    int64_t price_ticks
    int64_t quantity_lots
    int64_t amount
    int64_t cumulative_lots
    int64_t cumulative_quote
    int64_t remaining_lots
    int64_t hold_change
    char client_id[36]
    uint32_t blob_offset
    uint32_t blob_length
    uint32_t trail_bps
    int64_t trigger_ticks
    int64_t activation_ticks
    int64_t trailing_since_us
    int64_t display_lots
    int64_t visible_lots
    int64_t expiry_us
    int64_t minimum_lots
    uint64_t list_id
    int64_t peg_limit_ticks
    int64_t working_us
    int64_t strategy_id
    int64_t prevented_lots
    int32_t peg_offset
    uint32_t strategy_type
    uint32_t self_trade_group
    uint8_t peg_type
    uint8_t reserved
    uint16_t reserved_2

cdef struct TradeEvent:
    uint8_t kind
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t self_trade_mode
    uint8_t command
    uint16_t reason
    uint32_t command_index
    uint32_t market
    uint32_t account
    uint16_t flags
    uint16_t base_asset
    uint16_t quote_asset
    uint16_t asset
    uint32_t maker_account
    uint64_t order_id
    int64_t price_ticks
    int64_t quantity_lots
    int64_t quote_amount
    int64_t cumulative_lots
    int64_t cumulative_quote
    int64_t remaining_lots
    int64_t hold_change
    char client_id[36]
    char maker_client_id[36]
    uint64_t maker_order_id
    uint64_t trade_id
    int64_t base_amount
    int64_t maker_cumulative_lots
    int64_t maker_cumulative_quote
    int64_t maker_remaining_lots
    int64_t maker_hold_change
    int64_t fee
    int64_t maker_fee
    uint32_t fee_ppm
    uint32_t maker_fee_ppm
    uint32_t fee_credit
    uint32_t maker_fee_credit

cdef struct PreventedEvent:
    uint8_t kind
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t self_trade_mode
    uint8_t command
    uint16_t reason
    uint32_t command_index
    uint32_t market
    uint32_t account
    uint16_t flags
    uint16_t base_asset
    uint16_t quote_asset
    uint16_t asset
    uint32_t maker_account
    uint64_t order_id
    int64_t price_ticks
    int64_t quantity_lots
    int64_t quote_amount
    int64_t cumulative_lots
    int64_t cumulative_quote
    int64_t remaining_lots
    int64_t hold_change
    char client_id[36]
    char maker_client_id[36]
    uint64_t maker_order_id
    uint64_t prevented_match_id
    int64_t base_amount
    int64_t maker_cumulative_lots
    int64_t maker_cumulative_quote
    int64_t maker_remaining_lots
    int64_t maker_hold_change
    int64_t prevented_lots
    int64_t maker_prevented_lots
    uint32_t self_trade_group
    uint32_t maker_self_trade_group
    uint64_t reserved

cdef struct AssetDefinition:
    uint32_t scale

cdef struct MarketDefinition:
    uint32_t base_asset
    uint32_t quote_asset
    int64_t tick_e8
    int64_t lot_units
    int64_t price_min_ticks
    int64_t price_max_ticks
    int64_t quantity_min_lots
    int64_t quantity_max_lots
    int64_t notional_min
    int64_t notional_max
    uint32_t maker_fee_ppm
    uint32_t taker_fee_ppm
    uint32_t open_orders_max
    uint32_t reserved

cdef struct Fees:
    uint32_t maker_fee_ppm
    uint32_t taker_fee_ppm

cdef struct KeyDefinition:
    uint32_t key_type
    uint32_t permissions
    int64_t expiry_us

cdef struct TierLimits:
    uint32_t weight_per_minute
    uint32_t orders_per_10_s
    uint32_t orders_per_day
    uint32_t refusals_per_10_s
    uint32_t subscriptions_max
    uint32_t connections_per_5_min
    uint32_t stream_messages_per_s
    uint32_t reserved
    uint64_t reserved_2
    uint64_t reserved_3
    uint64_t reserved_4
    uint64_t reserved_5

cdef struct EpochStart:
    uint64_t previous_epoch
    uint64_t previous_sequence
    char previous_head[32]
    uint64_t rules_version
    uint64_t ids_skip

cdef struct StateReport:
    char state_hash[32]
    char balances_hash[32]
    uint64_t accounts
    uint64_t open_orders
    uint64_t balances

cdef struct SavedVenue:
    char magic[8]
    int64_t time_us
    int64_t accepted_difference_us
    int64_t accepted_time_us
    int64_t accepted_store_us
    uint64_t rules_version
    uint64_t last_order_id
    uint64_t order_count
    uint32_t venue_state
    uint32_t asset_count
    uint32_t market_count
    uint32_t account_count
    uint32_t agenda_count
    uint32_t producer_count
    uint64_t tier_count

cdef struct SavedAsset:
    int64_t issued
    uint32_t scale
    uint32_t reserved

cdef struct SavedMarket:
    uint64_t last_trade_id
    uint64_t last_update_id
    int64_t last_price_ticks
    uint32_t maker_fee_ppm
    uint32_t taker_fee_ppm
    uint32_t state
    uint32_t bid_count
    uint32_t ask_count
    uint32_t reserved

cdef struct SavedAccount:
    uint16_t is_frozen
    uint16_t tier
    uint32_t balance_count
    uint32_t fees_count
    uint32_t key_count

cdef struct SavedBalance:
    int64_t available
    int64_t held
    uint32_t asset
    uint32_t reserved

cdef struct SavedFees:
    uint32_t market
    uint32_t maker_fee_ppm
    uint32_t taker_fee_ppm
    uint32_t reserved

cdef struct SavedKey:
    uint32_t key_type
    uint32_t permissions
    int64_t expiry_us

cdef struct SavedOrder:
    uint64_t order_id
    int64_t price_ticks
    int64_t quantity_lots
    int64_t remaining_lots
    int64_t cumulative_quote
    int64_t created_us
    int64_t updated_us
    int64_t working_us
    uint32_t account
    uint32_t fee_credit
    uint8_t order_type
    uint8_t time_in_force
    uint8_t self_trade_mode
    uint8_t reserved
    char client_id[36]

cdef struct SavedAgendaItem:
    uint32_t kind
    uint32_t account
    uint32_t market
    uint32_t reason

cdef struct SavedProducer:
    uint64_t incarnation
    uint64_t number
    uint32_t producer
    uint32_t reserved

cdef union Event:
    # An event is a trade where its kind says so; all views begin alike.
    OrderEvent order
    TradeEvent trade
    PreventedEvent prevented
