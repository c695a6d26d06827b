-- projection: totals
-- version: 1
-- types: MoneyDeposited, MoneyWithdrawn, PaymentMade

CREATE TABLE totals (
    type TEXT PRIMARY KEY,
    events BIGINT NOT NULL,
    amount BIGINT NOT NULL
);

-- on batch:
INSERT INTO totals (type, events, amount)
SELECT type, count(*), CAST(sum(CAST(data ->> 'amount' AS BIGINT)) AS BIGINT) FROM batch WHERE true GROUP BY type
ON CONFLICT (type) DO UPDATE SET events = totals.events + excluded.events, amount = totals.amount + excluded.amount;
