-- What is understood of the schemas of some types, as the registry is now. Placeholders: {schema}, {types}, {lowest}, {below}.
_pacioli_shapes := {schema}.shapes_within({types}, {lowest}, {below});
