"""An embedded server that speaks OpenMLDB's protocol and means what OpenMLDB means."""
